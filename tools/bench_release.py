"""Memory and time of one PAPA update of one image: in one graph as in the release, and in chunks as in papa.

    python tools/bench_release.py [--whole 1000] [--device cuda]

The release (NasikNafi/papa) keeps the graph of all T timesteps, so its memory grows with T; it is measured at a few
small T in separate processes and extrapolated linearly to `--whole`. papa is measured at `--whole`. Both have the same
loss (tests/methods/papa/test_release.py), image and network.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np

WAYS = ("release", "papa")
C_PREF, C_QPDE = 0.1, 0.009


def measure(asked: argparse.Namespace) -> dict[str, float]:
    """Seconds of one update of a preferred image, and MiB above the networks."""
    import torch

    from papa.benchmark.machine import peak_memory_mib, reset_peak_memory
    from papa.models.lora import copy_sharing_frozen
    from papa.rng import Stream
    from recipes.mnist import new_unet

    torch.set_num_threads(asked.threads)
    with Stream(0).at("network").seeding_torch():
        net: Any = new_unet(asked.network).to(asked.device)
    base = copy_sharing_frozen(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-5)
    x0 = torch.randn(1, 1, 28, 28, device=asked.device)
    step = {"release": as_the_release, "papa": as_papa}[asked.way]
    for parameter in net.parameters():  # allocate gradients and Adam's moments first
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    step(net, base, x0, 2)
    reset_peak_memory()
    before = peak_memory_mib()
    begin = time.perf_counter()
    step(net, base, x0, asked.timesteps[0])
    optimizer.step()
    if asked.device != "cpu":
        torch.cuda.synchronize()
    return {"seconds": time.perf_counter() - begin, "mib": peak_memory_mib() - before}


def schedule(total: int) -> Any:
    """alpha-bar of `total` timesteps spread over the paper's thousand."""
    import torch

    abar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0).float()
    return abar[torch.linspace(0, 999, total).long()]


def as_the_release(net: Any, base: Any, x0: Any, total: int) -> None:
    """All timesteps in one graph."""
    import torch

    abar, noise, weighted, x_t, predicted = schedule(total).to(x0), torch.randn_like(x0), x0.new_zeros(()), x0, x0
    for t in range(total):
        x_t = abar[t].sqrt() * x0 + (1 - abar[t]).sqrt() * noise
        predicted = net(x_t, torch.tensor([t], device=x0.device)).sample
        weighted = weighted + (predicted - noise).square().mean() / total
    with torch.no_grad():
        kept = base(x_t, torch.tensor([total - 1], device=x0.device)).sample
    (C_PREF * weighted + C_QPDE * (predicted - kept).square().mean()).backward()


def as_papa(net: Any, base: Any, x0: Any, total: int) -> None:
    """The same loss, gradients accumulated in chunks."""
    import torch

    from papa.diffusion.denoiser import Cost
    from papa.methods.losses import Networks, Pairs, papa_gradient

    noise = torch.randn(1, *x0.shape[1:])
    last = torch.zeros(1, total)
    last[0, -1] = C_QPDE
    pairs = Pairs(torch.arange(total)[None], torch.full((1, total), C_PREF / total), last)
    nets, repeated = Networks(net, base, base), noise.expand(total, *noise.shape[1:])
    papa_gradient(nets, schedule(total), x0, lambda _: repeated, pairs, chunk=32, cost=Cost())


def in_a_process(asked: argparse.Namespace, name: str, way: str, total: int) -> dict[str, float]:
    """`measure` in a separate process, for its own peak of memory."""
    command = [sys.executable, __file__, "--one", "--network", name, "--way", way]
    command += ["--timesteps", str(total), "--device", asked.device, "--threads", str(asked.threads)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timesteps", type=int, nargs="+", default=[10, 20, 40], help="T for measuring the release")
    parser.add_argument("--whole", type=int, default=1000, help="T (default: %(default)s)")
    parser.add_argument("--networks", nargs="+", default=["small", "paper"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--network", help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked)))
        return
    print(f"one update of one image, T = {asked.whole}, {asked.device}, threads: {asked.threads}")
    print("| network | implementation | MiB | seconds |\n|:--|:--|--:|--:|")
    for name in asked.networks:
        parts = [in_a_process(asked, name, "release", total) for total in asked.timesteps]
        lines = (np.polyfit(asked.timesteps, [part[key] for part in parts], 1) for key in ("mib", "seconds"))
        mib, seconds = (np.polyval(line, asked.whole) for line in lines)
        print(f"| {name} | release (extrapolated from T = {asked.timesteps}) | {mib:.0f} | {seconds:.1f} |")
        whole = in_a_process(asked, name, "papa", asked.whole)
        print(f"| {name} | papa | {whole['mib']:.0f} | {whole['seconds']:.1f} |", flush=True)


if __name__ == "__main__":
    main()
