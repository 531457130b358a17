"""Peak memory of PAPA's learning does not grow with the number of timesteps."""

from __future__ import annotations

import subprocess
import sys

import pytest

MEMORY = """
import sys, torch, numpy as np
from diffusers import UNet2DModel
from papa.methods.papa import PapaSettings
from papa.feedback import Feedback, Query
from papa.benchmark.machine import peak_memory_mib, reset_peak_memory
from papa.methods.papa import Papa
from papa.models.interface import Model
from papa.rng import Stream

torch.set_num_threads(1)

class Noisy(Model):
    shape, steps = (1, 28, 28), 1
    def __init__(self, T):
        self.alphas_cumprod = torch.cumprod(1 - torch.linspace(1e-4, 0.02, T), 0)
    def sigmas(self):
        return torch.tensor([1.0, 0.0])
    def denoiser(self, cost, network=None):
        raise AssertionError("nothing is drawn")
    def decode(self, latents):
        return latents
    def network(self):
        return UNet2DModel(sample_size=28, in_channels=1, out_channels=1, layers_per_block=1,
            block_out_channels=(8, 8), down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
            norm_num_groups=4).eval()

def peak(T, chunk):
    settings = PapaSettings(labels=1, per_round=1, updates=1, items=1, timesteps="exact", chunk=chunk)
    method = Papa(settings, Noisy(T), Stream(0), lambda n: torch.zeros(n, 1, 28, 28))
    reset_peak_memory()
    method.tell(Query(torch.zeros(1, 1, 28, 28)), Feedback(np.ones(1), np.ones(1)))
    assert method.cost.backward == T
    return peak_memory_mib()

peak(8, 8)  # whatever is loaded on the first use
reset_peak_memory()
start = peak_memory_mib()
print(start, peak(100, 20), peak(1000, 20), peak(100, 100))
"""


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_number_of_timesteps() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    start, short, long, unchunked = map(float, done.stdout.split()[-4:])
    assert long <= 1.2 * short, done.stdout
    assert long - start <= 1.35 * (short - start), done.stdout  # what training itself takes
    assert unchunked - start > 3 * (short - start), "the whole sum at once must show, or this test sees nothing"
