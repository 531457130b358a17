"""Several jobs share the GPUs of one machine: each process takes one that nobody has, and keeps it until it ends.

Snakemake counts how many GPUs are in use but does not say which, so the processes agree among themselves. There is one
file for each GPU in the system's temporary folder, and the kernel locks it for the process that has the GPU. The lock
goes with the process, however that ends; the file stays and means nothing.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

PAUSE = 1.0
"""Seconds between two looks where all GPUs are taken."""

_taken: FileLock | None = None  # what is let go of is unlocked, so it is held here


def take_gpu(say: Callable[[str], None]) -> None:
    """Make a free GPU the one that `cuda` means in this process. Nothing is to be done where PyTorch sees just one:
    it is the only one, or CUDA_VISIBLE_DEVICES or a cluster has chosen it.
    """
    import torch

    count = torch.cuda.device_count()
    if count < 2 or _taken is not None:
        return
    # CUDA_VISIBLE_DEVICES may number the devices anew in each process; what the driver calls them stays.
    names = [str(torch.cuda.get_device_properties(index).uuid) for index in range(count)]
    index = take_one_of(names, say)
    torch.cuda.set_device(index)
    say(f"device: cuda -> cuda:{index}, which no other process of papa uses")


def take_one_of(names: Sequence[str], say: Callable[[str], None], folder: Path | None = None) -> int:
    """Take the first GPU that is free, and wait where none is.

    Args:     names: one for each GPU, the same in all processes. folder: where the locks lie (default: the system's
              temporary folder).
    Returns:  the position of the GPU's name.
    """
    global _taken
    place = folder or Path(tempfile.gettempdir())
    # Everybody may open the files, for a machine is shared by its users.
    locks = [FileLock(place / f"papa-gpu-{name}.lock", mode=0o666) for name in names]
    waiting = False
    while True:
        for index, lock in enumerate(locks):
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            _taken = lock
            return index
        if not waiting:
            say(f"all {len(names)} GPUs are taken by other processes of papa; waiting for one")
            waiting = True
        time.sleep(PAUSE)
