"""What a process can say of the machine: device, threads, peak memory, versions."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from papa import __version__
from papa.errors import SettingsError

PACKAGES = (
    *("torch", "torchvision", "diffusers", "transformers", "peft"),
    *("open_clip_torch", "timm"),  # the second holds networks of the first, which requires it
    *("numpy", "scikit-learn", "torchmetrics", "snakemake"),
)


def pick_device(wanted: str) -> str:
    """`auto` takes CUDA where there is one.

    Raises:  SettingsError where CUDA is asked for and absent.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise SettingsError(
            f"device: {wanted} is asked for, but this machine has no CUDA device that PyTorch sees. "
            "Set device: auto or device: cpu, or check the driver with `nvidia-smi`."
        )
    return wanted


def use_threads(threads: int) -> None:
    """Use the threads that the workflow gave this job (results depend on their number in the last bits)."""
    torch.set_num_threads(threads)


def memory_advice(error: BaseException, task: str | None) -> str | None:
    """What to do about an error of a full GPU; None for any other error.

    Args:    task: the one that ran, if it is known.
    """
    said = str(error)
    if not (isinstance(error, torch.OutOfMemoryError) or "CUDA error: out of memory" in said or "ALLOC_FAILED" in said):
        return None
    where = f"tasks.{task or '<task>'}"
    free, total = torch.cuda.mem_get_info() if torch.cuda.is_available() else (0, 0)
    there = f" ({free / 2**30:.1f} of {total / 2**30:.1f} GiB were free)" if total else ""
    return (
        f"the GPU's memory is full{there}. Finished runs are kept. Images: lower {where}.chunk, set "
        f"{where}.attention_slicing, vae_slicing and vae_tiling to true. Fine-tuning: set methods.<method>.trainable: "
        "lora and gradient_checkpointing: true, lower methods.<method>.chunk. Particles: lower methods.<method>."
        "particles. Then run the same command again; `papa doctor` says how much is needed."
    )


def reset_peak_memory() -> None:
    """Start a new peak. On Linux the kernel's high-water mark is reset; elsewhere it is the process's."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    if sys.platform == "linux" and os.access("/proc/self/clear_refs", os.W_OK):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mib() -> float:
    """Peak memory since the reset, in MiB: CUDA's allocations where there are any, else resident memory."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), "papa": __version__, **{name: version(name) for name in PACKAGES}}


def git_commit() -> str | None:
    """The commit of the source tree, None outside a checkout."""
    here = Path(__file__).parent
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
