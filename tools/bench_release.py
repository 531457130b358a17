"""Memory and seconds of one PAPA update of one image: as the release makes it, and as papa does, on one network.

    python tools/bench_release.py                                 # on the networks of papa's recipe of mnist
    python tools/bench_release.py --release FOLDER                # and on the release's own
    python tools/bench_release.py --timesteps 10 20 40 --whole 1000 --device cuda

FOLDER is a checkout of NasikNafi/papa with models/unet_base.py in it, which the release takes from
explainingai-code/DDPM-Pytorch and does not contain; its config/default_papa.yaml says how large the network is. Nothing
of either is in this repository.

The release keeps the graph of all T timesteps and goes back through it once; its memory grows with T, so it is measured
at a few small T, each in a process of its own, and a line through them says what `--whole` timesteps need. papa adds up
the gradients of chunks; it is measured at `--whole` itself as well. Both have the same loss (tests/methods/papa/
test_release.py), the same image and network, one thread unless told otherwise.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

WAYS = ("release", "papa")
C_PREF, C_QPDE = 0.1, 0.009


def network(name: str, release: Path | None) -> Any:
    """A network with random weights, called (x_t, t) -> an object whose `sample` is the noise."""
    import yaml

    from papa.rng import Stream
    from recipes.mnist import new_unet

    start = Stream(0).at("network").seeding_torch()
    if name != "release":
        with start:
            return new_unet(name)  # type: ignore[arg-type]

    assert release is not None
    sys.path.insert(0, str(release))
    from models.unet_base import Unet  # type: ignore[import-not-found]  # of the checkout

    settings = yaml.safe_load((release / "config/default_papa.yaml").read_text(encoding="utf-8"))["model_params"]
    with start:
        return _Called(Unet(settings))


def _Called(net: Any) -> Any:
    """The release's network returns the noise itself; papa's are diffusers', which return an object with it."""
    from types import SimpleNamespace

    from torch import Tensor, nn

    class Called(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x_t: Tensor, t: Tensor) -> SimpleNamespace:
            return SimpleNamespace(sample=self.net(x_t, t))

    return Called()


def measure(asked: argparse.Namespace) -> dict[str, float]:
    """MiB above what the networks themselves take, and seconds, of one update of a liked image."""
    import torch

    from papa.benchmark.machine import peak_memory_mib, reset_peak_memory
    from papa.models.lora import copy_sharing_frozen

    torch.set_num_threads(asked.threads)
    net = network(asked.network, asked.release).to(asked.device)
    base = copy_sharing_frozen(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-5)
    x0 = torch.randn(1, 1, 28, 28, device=asked.device)
    step = {"release": as_the_release, "papa": as_papa}[asked.way]
    for parameter in net.parameters():  # gradients and Adam's moments are there before, in both ways
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    step(net, base, x0, 2)  # what the first pass allocates for good
    reset_peak_memory()
    before = peak_memory_mib()
    begin = time.perf_counter()
    step(net, base, x0, asked.timesteps[0])
    optimizer.step()
    if asked.device != "cpu":
        torch.cuda.synchronize()
    return {"seconds": time.perf_counter() - begin, "mib": peak_memory_mib() - before}


def schedule(total: int) -> Any:
    """alpha-bar of `total` timesteps spread over the paper's thousand, so that their errors are of all sizes."""
    import torch

    abar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0).float()
    return abar[torch.linspace(0, 999, total).long()]


def as_the_release(net: Any, base: Any, x0: Any, total: int) -> None:
    """All timesteps in one graph, one after the other."""
    import torch

    abar, noise, weighted, x_t, predicted = schedule(total).to(x0), torch.randn_like(x0), torch.zeros(()), x0, x0
    weighted = weighted.to(x0)
    for t in range(total):
        x_t = abar[t].sqrt() * x0 + (1 - abar[t]).sqrt() * noise
        predicted = net(x_t, torch.tensor([t], device=x0.device)).sample
        weighted = weighted + (predicted - noise).square().mean() / total
    with torch.no_grad():
        kept = base(x_t, torch.tensor([total - 1], device=x0.device)).sample
    (C_PREF * weighted + C_QPDE * (predicted - kept).square().mean()).backward()


def as_papa(net: Any, base: Any, x0: Any, total: int) -> None:
    """The same sum in chunks."""
    import torch

    from papa.diffusion.denoiser import Cost
    from papa.methods.papa.loss import Networks, Pairs, accumulate_gradients

    noise = torch.randn(1, *x0.shape[1:])
    last = torch.zeros(1, total)
    last[0, -1] = C_QPDE
    pairs = Pairs(torch.arange(total)[None], torch.full((1, total), C_PREF / total), last)
    nets = Networks(net, base, base)
    accumulate_gradients(
        nets, schedule(total), x0, lambda _: noise.expand(total, *noise.shape[1:]), pairs, chunk=32, cost=Cost()
    )


# ---------------------------------------------------------------- the table


def in_a_process(asked: argparse.Namespace, name: str, way: str, total: int) -> dict[str, float]:
    """`measure` in a process of its own, whose peak of memory is its own."""
    command = [sys.executable, __file__, "--one", "--network", name, "--way", way, "--timesteps", str(total)]
    command += ["--device", asked.device, "--threads", str(asked.threads)]
    command += ["--release", str(asked.release)] if asked.release else []
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def along(at: list[int], values: list[float], whole: int) -> float:
    """What a straight line through the measured values says of `whole` timesteps."""
    slope, start = np.polyfit(at, values, 1)
    return float(start + slope * whole)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=Path, help="a checkout of the release, with models/unet_base.py")
    parser.add_argument("--timesteps", type=int, nargs="+", default=[10, 20, 40], help="where the release is measured")
    parser.add_argument("--whole", type=int, default=1000, help="T (default: %(default)s)")
    parser.add_argument("--networks", nargs="+", default=["small", "paper"], help="of papa (default: small paper)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--network", help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked)))
        return
    if asked.release and not (asked.release / "models/unet_base.py").is_file():
        raise SystemExit(
            f"{asked.release} has no models/unet_base.py; put that of explainingai-code/DDPM-Pytorch there."
        )
    print(f"one update of one image, T = {asked.whole}, {asked.device}, threads: {asked.threads}")
    print("| network | way | MiB | seconds | MiB at a tenth of T |\n|:--|:--|--:|--:|--:|")
    for name in [*asked.networks, *(["release"] if asked.release else [])]:
        parts = [in_a_process(asked, name, "release", total) for total in asked.timesteps]
        mib, seconds = (along(asked.timesteps, [p[key] for p in parts], asked.whole) for key in ("mib", "seconds"))
        tenth = along(asked.timesteps, [p["mib"] for p in parts], asked.whole // 10)
        print(f"| {name} | release (a line through T = {asked.timesteps}) | {mib:.0f} | {seconds:.1f} | {tenth:.0f} |")
        whole, part = (in_a_process(asked, name, "papa", total) for total in (asked.whole, asked.whole // 10))
        print(f"| {name} | papa | {whole['mib']:.0f} | {whole['seconds']:.1f} | {part['mib']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
