"""One GPU for each process of a machine, held until the process ends.

Snakemake limits how many GPUs are in use but assigns none, so each process locks one file per GPU in the temporary
folder of the system. The kernel releases the lock when the process ends; the file itself means nothing.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

_taken: FileLock | None = None  # garbage collection would release the lock


def take_gpu(say: Callable[[str], None]) -> None:
    """Make a free GPU the current CUDA device. With a single visible GPU there is nothing to choose."""
    import torch

    count = torch.cuda.device_count()
    if count < 2 or _taken is not None:
        return
    # CUDA_VISIBLE_DEVICES may renumber the devices in each process; their UUIDs stay.
    names = [str(torch.cuda.get_device_properties(index).uuid) for index in range(count)]
    index = take_one_of(names, say)
    torch.cuda.set_device(index)
    say(f"device: cuda -> cuda:{index}, which no other process of papa uses")


def take_one_of(names: Sequence[str], say: Callable[[str], None], folder: Path | None = None) -> int:
    """The index of the first free GPU, which is taken; waits if there is none.

    Args:
        names: a name for each GPU, the same in all processes.
        say: receives messages.
        folder: folder of the locks (default: the temporary folder of the system).
    """
    global _taken
    place = folder or Path(tempfile.gettempdir())
    # All users of the machine may open the files.
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
            say(f"all {len(names)} GPUs are in use by other processes of papa; waiting for one")
            waiting = True
        time.sleep(1)
