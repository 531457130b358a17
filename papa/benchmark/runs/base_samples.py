"""The base samples of a task and seed: made once, shared by all methods and users."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.grid import PoolSpec
from papa.benchmark.machine import git_commit, peak_memory_mib, reset_peak_memory, versions
from papa.benchmark.runs.key import artefact_hashes
from papa.benchmark.runs.record import npz_bytes, read_arrays, verify, write_record
from papa.benchmark.tasks.interface import Task
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral
from papa.errors import RecordError
from papa.rng import Stream

BLOCK = 1024
"""Samples drawn at a time; fixed, so that more samples leave the first ones as they are."""


def base_stream(root_seed: int, task: str, seed: int) -> Stream:
    """The stream that all methods of a task and seed share."""
    return Stream(root_seed).at(task, seed=seed)


def block_of_base(task: Task, stream: Stream, index: int, cost: Cost, n: int | None = None) -> Tensor:
    """Base latents `index * BLOCK` to `(index + 1) * BLOCK`, or the first n of them.

    Block 0 uses the noise of the final samples of every method, so sample i of the base and sample
    i of an aligned model start from the same noise.
    """
    # Whole forward passes, so that the rows have the same bits however many there are.
    chunk = task.settings.chunk
    rows = BLOCK if n is None else min(BLOCK, -(-n // chunk) * chunk)
    address = stream.at("sample") if index == 0 else stream.at("sample", "more", block=index)

    def noise(step: int) -> Tensor:
        dtype = np.float64 if task.dtype == torch.float64 else np.float32
        return torch.from_numpy(address.at(step=step).normal(rows, *task.shape, dtype=dtype)).to(task.device)

    return euler_ancestral(task.denoiser(cost), task.sigmas(), noise)


def make_pool(spec: PoolSpec, task: Task) -> None:
    """Draw and store the base samples of a task and seed."""
    reset_peak_memory()
    start, cost = time.monotonic(), Cost()
    stream = base_stream(spec.config.root_seed, spec.task, spec.seed)
    wanted = spec.config.measures.base
    blocks = [block_of_base(task, stream, i, cost, wanted - i * BLOCK) for i in range(-(-wanted // BLOCK))]
    latents = torch.cat(blocks)[:wanted]
    files = {
        "samples.npz": npz_bytes({"images": task.pack(task.decode(latents))}),
        "latents.npz": npz_bytes({"latents": latents.cpu().numpy()}),
    }
    meta = {
        "kind": "base",
        "key": spec.key,
        "task": spec.task,
        "seed": spec.seed,
        "asked": spec.described,
        "evaluations": {"forward": cost.forward},
        "seconds": time.monotonic() - start,
        "peak_memory_mib": peak_memory_mib(),
        "device": task.device,
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "git_commit": git_commit(),
        "weights": artefact_hashes(spec.task),
    }
    write_record(spec.folder, files, meta)


def pool_reader(spec: PoolSpec, task: Task) -> Callable[[int], Tensor]:
    """n -> the first n base latents, from the store where it reaches, drawn anew beyond it."""

    @cache
    def stored() -> Tensor:
        verify(spec.folder, spec.key)
        return torch.from_numpy(read_arrays(Path(spec.folder) / "latents.npz")["latents"]).to(task.device)

    def first(n: int) -> Tensor:
        try:
            latents = stored()
        except RecordError:
            make_pool(spec, task)
            latents = stored()
        stream = base_stream(spec.config.root_seed, spec.task, spec.seed)
        while len(latents) < n:
            if len(latents) % BLOCK:
                raise RecordError(
                    f"{n} base samples are wanted and measures.base is {len(latents)}; make it {n} or more, or a "
                    f"multiple of {BLOCK}."
                )
            more = block_of_base(task, stream, len(latents) // BLOCK, Cost())
            latents = torch.cat([latents, more])
        return latents[:n]

    return first


def main(specs: list[PoolSpec], task: Task, log: Callable[[str], None]) -> None:
    """Make the pools that are not there yet."""
    from papa.benchmark.runs.record import is_complete

    for spec in specs:
        if is_complete(spec.folder, spec.key):
            log(f"{spec.folder}: already there")
            continue
        make_pool(spec, task)
        log(f"{spec.folder}: {spec.config.measures.base} base samples")
