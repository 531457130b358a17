"""A batch shared among copies of a network, each on a thread of its own: on a CPU faster than threads within products.

The networks of 28x28 pictures are small, so most of their products are too small to be divided among threads.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)


class Copies(Generic[Net]):
    """A network and copies of it, which follow it."""

    def __init__(self, net: Net, pool: ThreadPoolExecutor, count: int) -> None:
        self.pool = pool
        self.nets = [net, *(copy.deepcopy(net) for _ in range(count - 1))]

    def mean_gradient(self, losses: Callable[[Net, slice], Tensor], batch: int) -> float:
        """Give the parameters of the network the gradient of a batch's mean loss, which is returned.

        Args:    losses: the (k,) losses of the k rows in a slice of the batch, by one of the networks.
        """
        first, *others = (list(net.parameters()) for net in self.nets)
        with torch.no_grad():
            for parameters in others:
                for parameter, theirs in zip(first, parameters, strict=True):
                    theirs.copy_(parameter)

        def part(k: int) -> float:
            rows = slice(k * batch // len(self.nets), (k + 1) * batch // len(self.nets))
            self.nets[k].zero_grad()
            loss = losses(self.nets[k], rows).sum() / batch
            loss.backward()
            return loss.item()

        total = sum(self.pool.map(part, range(len(self.nets))))
        for parameters in others:
            for parameter, theirs in zip(first, parameters, strict=True):
                if parameter.grad is not None and theirs.grad is not None:
                    parameter.grad += theirs.grad
        return total


@contextmanager
def copies(net: Net, most: int) -> Iterator[Copies[Net]]:
    """As many copies as torch has threads, `most` at most; each has one thread while they are in use."""
    threads = torch.get_num_threads()
    count = min(threads, most)
    if count > 1:
        torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(count) as pool:
            yield Copies(net, pool, count)
    finally:
        torch.set_num_threads(threads)
