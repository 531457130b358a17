"""Training of a PPD adapter: one network for a population, conditioned on each user by a few of their choices.

Only the new projections of `papa.models.personal.attention` are trained. Every step has random numbers of its own, so a
stopped training resumes from its last checkpoint with the same numbers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from papa.errors import DivergedError
from papa.methods.losses import dpo_loss, preference_margin
from papa.models.personal.attention import projections, user_conditioning, user_state
from papa.models.training import Checkpoint, scheduled
from papa.rng import Stream
from papa.settings import Fraction, NonNegative, Positive, Rate, Settings

Log = Callable[[str], None]
Curve = list[dict[str, float]]
"""Rows of step, loss (nats), right (share of pairs with a positive margin), held_out_loss and held_out_right."""


class PpdTraining(Settings):
    """The training of an adapter by AdamW."""

    steps: Positive = 3000
    batch: Positive = 48
    """Pairs per step."""
    chunk: Positive | None = None
    """Pairs per forward pass; None: the whole batch. Fewer need less memory and change the last bits."""
    lr: Rate = 1e-3
    """Learning rate: warm-up over a twentieth of the steps, then a cosine to zero."""
    decay: NonNegative = 1e-2
    strength: Rate = 15.0
    """beta T of the loss, for errors that are means over the entries of a latent."""
    weights: Literal["clean", "noise"] = "clean"
    """omega(lambda_t): errors of the clean estimate, (1 - alpha-bar) / alpha-bar times those of the noise, or errors of
    the noise, which are small at high noise, where the content of an image is decided (docs/ppd.md)."""
    above: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """Share of the timesteps, from 0 on, without training: margins there do not depend on an image's content."""
    dropout: Fraction = 0.1
    """Share of pairs without their user (the unconditional case). 1: Diffusion-DPO without users."""
    shuffled: bool = False
    """Every pair has a random user: a control, which cannot learn users."""
    every: Positive = 250
    """Steps between two lines of the learning curve, each with a checkpoint."""


@dataclass(frozen=True)
class Pairs:
    """Labelled pairs of many users.

    Attributes:
        latents: (images, C, H, W) clean latents.
        preferred, rejected, prompt, user: (n,) indices of the images, the prompt and the user of each pair.
        prompts: (prompts, tokens, width) text embeddings.
        users: (users, draws, tokens, width) conditioning of each user, on other choices than the pairs here.
        unknown: (tokens, width) conditioning without a user.
    """

    latents: Tensor
    preferred: np.ndarray
    rejected: np.ndarray
    prompt: np.ndarray
    user: np.ndarray
    prompts: Tensor
    users: Tensor
    unknown: Tensor

    def __len__(self) -> int:
        return len(self.preferred)


@dataclass(frozen=True)
class Batch:
    """Noised pairs.

    Attributes:
        x_t: (2, n, C, H, W), preferred and rejected.
        t, noise: (n,) timesteps and (n, C, H, W) noise, the same for both.
        omega: (n,) weights of the errors.
        prompt, tokens: (n, tokens, width) of the prompts and of the users.
    """

    x_t: Tensor
    t: Tensor
    noise: Tensor
    omega: Tensor
    prompt: Tensor
    tokens: Tensor

    def split(self, size: int) -> Iterator[Batch]:
        rest = (part.split(size) for part in (self.t, self.noise, self.omega, self.prompt, self.tokens))
        return (Batch(*part) for part in zip(self.x_t.split(size, 1), *rest, strict=True))

    def to(self, device: str) -> Batch:
        return Batch(*(getattr(self, part.name).to(device) for part in fields(self)))


class Trainer:
    """One training of `net`, a prompted UNet with user attention on the schedule `abar`, (T,)."""

    def __init__(
        self,
        net: nn.Module,
        abar: Tensor,
        settings: PpdTraining,
        stream: Stream,
        checkpoint: Path | None = None,
        device: str = "cpu",
    ) -> None:
        conditioning = user_state(net)
        assert conditioning is not None
        self.net, self.conditioning, self.abar, self.settings, self.stream = net, conditioning, abar, settings, stream
        self.device, self.checkpoint, self.done = device, Checkpoint(checkpoint, settings.model_dump_json()), 0
        self.curve: Curve = []
        net.requires_grad_(False)
        self.weights = projections(net)
        for weight in self.weights.values():
            weight.requires_grad_(True)
        self.optimizer = torch.optim.AdamW(self.weights.values(), lr=settings.lr, weight_decay=settings.decay)

    def run(self, pairs: Pairs, held_out: Pairs, log: Log) -> Curve:
        """Train to the end, from the checkpoint if there is one."""
        self._resume(log)
        began, first, losses, right = time.monotonic(), self.done, [], []
        while self.done < self.settings.steps:
            loss, share = self.step(pairs, self.stream.at("step", step=self.done))
            losses.append(loss)
            right.append(share)
            self.done += 1
            if self.done % self.settings.every == 0 or self.done == self.settings.steps:
                line = {"step": self.done, "loss": float(np.mean(losses)), "right": float(np.mean(right))}
                line |= self.evaluate(held_out)
                self.curve.append(line)
                losses, right = [], []
                self._keep()
                left = (time.monotonic() - began) / (self.done - first) * (self.settings.steps - self.done)
                log(f"ppd: {json.dumps({k: round(v, 4) for k, v in line.items()})}, {left:.0f} s left")
        return self.curve

    def step(self, pairs: Pairs, stream: Stream) -> tuple[float, float]:
        """One AdamW step; returns the loss and the share of pairs whose margin is positive."""
        settings, rng = self.settings, stream.generator()
        for group in self.optimizer.param_groups:
            group["lr"] = settings.lr * scheduled(self.done, settings.steps)
        chosen = rng.integers(len(pairs), size=settings.batch)
        user = rng.integers(len(pairs.users), size=len(chosen)) if settings.shuffled else pairs.user[chosen]
        draw = rng.integers(pairs.users.shape[1], size=len(chosen))
        tokens = pairs.users[torch.from_numpy(user), torch.from_numpy(draw)]
        dropped = torch.from_numpy(rng.random(len(chosen)) < settings.dropout)
        tokens = torch.where(dropped[:, None, None], pairs.unknown, tokens)
        batch = self.noised(pairs, chosen, tokens, rng)
        self.optimizer.zero_grad()
        losses, right = [], []
        for part in batch.split(settings.chunk or len(chosen)):
            model, reference = self.errors(part)
            loss = dpo_loss(model, reference, settings.strength)
            (loss.sum() / len(chosen)).backward()
            losses.append(loss.detach())
            right.append(preference_margin(model, reference).detach() > 0)
        mean = torch.cat(losses).mean()
        if not torch.isfinite(mean):
            raise DivergedError("the loss is NaN or infinite; lower lr or strength.")
        nn.utils.clip_grad_norm_(list(self.weights.values()), 1.0)
        self.optimizer.step()
        return mean.item(), torch.cat(right).float().mean().item()

    def noised(self, pairs: Pairs, chosen: np.ndarray, tokens: Tensor, rng: np.random.Generator) -> Batch:
        """Noised pairs, with timesteps stratified over the batch."""
        n, total = len(chosen), len(self.abar)
        strata = (rng.permutation(n) + rng.random(n)) / n
        first = self.settings.above * total
        t = torch.from_numpy((first + strata * (total - first)).astype(np.int64))
        noise = torch.from_numpy(rng.standard_normal((n, *pairs.latents.shape[1:]), dtype=np.float32))
        a = self.abar[t].float().view(-1, 1, 1, 1)
        clean = (pairs.latents[torch.from_numpy(which[chosen])] for which in (pairs.preferred, pairs.rejected))
        x_t = torch.stack([a.sqrt() * x0 + (1 - a).sqrt() * noise for x0 in clean])
        omega = ((1 - a) / a).flatten() if self.settings.weights == "clean" else torch.ones(n)
        return Batch(x_t, t, noise, omega, pairs.prompts[torch.from_numpy(pairs.prompt[chosen])], tokens)

    def errors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(2, n) weighted errors of the preferred and the rejected items, conditioned on the users and without them."""
        batch = batch.to(self.device)
        x_t, t, prompt = batch.x_t.flatten(0, 1), batch.t.repeat(2), batch.prompt.repeat(2, 1, 1)

        def error() -> Tensor:
            eps = self.net(x_t, t, prompt).sample.unflatten(0, (2, -1))
            return batch.omega * (eps - batch.noise).square().flatten(2).mean(2)

        with user_conditioning(self.conditioning, None), torch.no_grad():
            reference = error()
        with user_conditioning(self.conditioning, batch.tokens.repeat(2, 1, 1)):
            return error(), reference

    @torch.no_grad()
    def evaluate(self, held_out: Pairs) -> dict[str, float]:
        """Loss and pairwise accuracy on pairs of held-out users, with fixed noise."""
        stream, found = self.stream.at("held-out"), []
        for index, begin in enumerate(range(0, len(held_out), 128)):
            chosen = np.arange(begin, min(begin + 128, len(held_out)))
            tokens = held_out.users[torch.from_numpy(held_out.user[chosen]), 0]
            batch = self.noised(held_out, chosen, tokens, stream.at(part=index).generator())
            errors = [self.errors(part) for part in batch.split(self.settings.chunk or len(chosen))]
            model, reference = (torch.cat(of, 1) for of in zip(*errors, strict=True))
            right = (preference_margin(model, reference) > 0).float()
            found.append(torch.stack([dpo_loss(model, reference, self.settings.strength), right]))
        loss, share = torch.cat(found, 1).mean(1).tolist()
        return {"held_out_loss": loss, "held_out_right": share}

    def _keep(self) -> None:
        weights = {name: weight.detach() for name, weight in self.weights.items()}
        self.checkpoint.keep(
            {"done": self.done, "curve": self.curve, "weights": weights, "optimizer": self.optimizer.state_dict()}
        )

    def _resume(self, log: Log) -> None:
        if (state := self.checkpoint.kept()) is None:
            return
        for name, weight in self.weights.items():
            weight.data.copy_(state["weights"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done, self.curve = state["done"], state["curve"]
        log(f"ppd: going on after step {self.done}")
