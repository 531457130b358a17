"""Named random streams: every random number has an address.

A stream is a path of names under a root seed, for example
`Stream(2026).at("digits", user="1479", seed=0).at("noise", round=3)`. Its numbers depend on that path alone, so a run
gives the same bits whatever ran before it, and methods that use the same address share their noise.

Rows are addresses too: the first n rows of `normal(m, ...)` are `normal(n, ...)` for n <= m, so particle i (or training
item i) keeps its noise when the population or the chunk changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Stream:
    """A node in the tree of random streams.

    Args:
        root: the root seed.
        path: the address, for example ("digits", "seed=0").
    """

    root: int
    path: tuple[str, ...] = ()

    def at(self, *names: str | int, **axes: str | int) -> Stream:
        """The stream below this one at `names` and then `axes` (sorted by name)."""
        axes_path = (f"{name}={axes[name]}" for name in sorted(axes))
        return Stream(self.root, (*self.path, *map(str, names), *axes_path))

    def generator(self) -> np.random.Generator:
        """A fresh NumPy generator (Philox, keyed by a hash of root and path)."""
        address = "\x1f".join((str(self.root), *self.path)).encode()
        key = int.from_bytes(hashlib.blake2b(address, digest_size=16).digest(), "little")
        return np.random.Generator(np.random.Philox(key=key))

    def integer(self) -> int:
        """A seed in [0, 2**63) for libraries that take an integer."""
        return int(self.generator().integers(2**63))

    @contextmanager
    def seeding_torch(self) -> Iterator[None]:
        """Seed PyTorch's global CPU generator from this stream within the block, and restore it afterwards.

        For code that takes no generator: initial weights of modules, dropout, torchmetrics.
        """
        import torch  # not at the top: this module is imported where PyTorch is not needed

        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.integer() % 2**32)
            yield

    def normal(self, *shape: int, dtype: type = np.float32) -> np.ndarray:
        """Standard normal numbers, float32 by default; row i does not depend on the number of rows."""
        return self.generator().standard_normal(shape, dtype=dtype)

    def uniform(self, *shape: int) -> np.ndarray:
        """Uniform numbers in [0, 1), float64; row i does not depend on the number of rows."""
        return self.generator().random(shape)
