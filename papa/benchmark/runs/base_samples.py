"""Base samples of a task and seed, shared by all methods and users."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache

import torch
from torch import Tensor

from papa.benchmark.machine import peak_memory_mib, reset_peak_memory, this_machine
from papa.benchmark.runs.record import Evaluations, Meta, kind_of, npz_bytes, read_record, stored, write_record
from papa.benchmark.specs import BaseSpec
from papa.diffusion.denoiser import Cost
from papa.errors import RecordError
from papa.models.base_samples import base_latents, extended
from papa.models.interface import Model
from papa.rng import Stream


def stream_of(spec: BaseSpec) -> Stream:
    """The random stream of a task and seed, shared by all methods."""
    return Stream(spec.config.root_seed).at(spec.task, seed=spec.seed)


def draw_base_samples(spec: BaseSpec, model: Model) -> None:
    """Sample the base model and store the samples."""
    reset_peak_memory()
    start, cost = time.monotonic(), Cost()
    latents = base_latents(model, stream_of(spec), spec.of.measures.base, cost)
    files = {
        "samples.npz": npz_bytes({"images": model.pack(model.decode(latents))}),
        "latents.npz": npz_bytes({"latents": latents.cpu().numpy()}),
    }
    meta = Meta(
        kind="base",
        key=spec.key,
        task=spec.task,
        seed=spec.seed,
        asked=spec.described,
        total=Evaluations(**asdict(cost)),
        seconds={"total": time.monotonic() - start},
        peak_memory_mib=peak_memory_mib(),
        device=model.device,
        machine=this_machine(),
        weights=spec.of.weights,
    )
    write_record(spec.folder, files, meta)


def reader(spec: BaseSpec, model: Model) -> Callable[[int], Tensor]:
    """n -> the first n base latents, from the store where it reaches, newly sampled beyond it.

    Raises:
        RecordError: if the stored ones were sampled on another kind of device.
    """

    @cache
    def latents() -> Tensor:
        if stored(spec) is None:
            draw_base_samples(spec, model)
        record = read_record(spec.folder, spec.key)
        if kind_of(record.meta.device) != kind_of(model.device):
            raise RecordError(
                f"the base samples in {spec.folder} were sampled on {record.meta.device}, and this run is on "
                f"{model.device}; set `device: {kind_of(record.meta.device)}`, or delete that folder."
            )
        return torch.from_numpy(record.arrays("latents.npz")["latents"]).to(model.device)

    return lambda n: extended(latents(), model, stream_of(spec), n)
