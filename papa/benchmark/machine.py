"""The machine of this process: device, peak memory, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from papa import __version__
from papa.errors import SettingsError

PACKAGES = (
    *("torch", "torchvision", "diffusers", "transformers", "peft"),
    *("open_clip_torch", "timm"),  # the second holds networks of the first, which requires it
    *("numpy", "scikit-learn", "torchmetrics", "snakemake"),
)
GIT_SECONDS = 10
"""Time limit of a call of git."""


class Machine(BaseModel):
    """The machine and software of a result; `commit` is None outside a checkout of this project."""

    model_config = ConfigDict(extra="forbid")
    system: str
    processor: str
    cores: int
    threads: int
    gpu: str | None
    versions: dict[str, str]
    commit: str | None


def this_machine() -> Machine:
    """The machine of this process."""
    import torch

    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        processor=processor(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        versions=versions(),
        commit=git_commit(),
    )


@cache
def processor() -> str:
    """The processor's model."""
    try:
        if sys.platform == "linux":
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
        if sys.platform == "darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):  # a machine that does not say
        return platform.machine()
    return platform.processor() or platform.machine()


def pick_device(wanted: str) -> str:
    """The device of a setting; `auto` is CUDA if available."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise SettingsError(
            f"device: {wanted}: PyTorch finds no CUDA device. Set device: auto or cpu, or check the driver with "
            "`nvidia-smi`."
        )
    if ":" in wanted and int(wanted.partition(":")[2]) >= torch.cuda.device_count():
        raise SettingsError(f"device: {wanted}: this machine has {torch.cuda.device_count()} CUDA devices.")
    return wanted


def memory_advice(error: BaseException, task: str | None) -> str | None:
    """Advice for an out-of-memory error of a GPU; None for any other error."""
    import torch

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
    """Start a new peak. On Linux the kernel's high-water mark is reset; elsewhere it stays the process's."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    if sys.platform == "linux" and os.access("/proc/self/clear_refs", os.W_OK):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak_memory_mib() -> float:
    """Peak memory since the reset, in MiB: CUDA's allocations where there are any, else resident memory."""
    import torch

    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 2**10
    import resource  # which Windows does not have

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB elsewhere


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), "papa": __version__, **{name: version(name) for name in PACKAGES}}


@cache
def git_commit() -> str | None:
    """The commit of the source tree, with `+` if it was changed since; None outside a checkout of this project.

    An installed package may be inside another repository: only if git tracks this file is it ours. A git that fails or
    hangs is noted, and then no commit is recorded.
    """
    here = Path(__file__)

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=here.parent, capture_output=True, encoding="utf-8", check=True, timeout=GIT_SECONDS
        )
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError) as error:
        if (here.parents[2] / ".git").exists():
            print(f"note: no commit is recorded, since git failed ({error})", file=sys.stderr)
        return None
