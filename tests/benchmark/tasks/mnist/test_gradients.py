"""Oriented gradients: where they point, and that nothing of them is lost."""

from __future__ import annotations

import torch

from papa.benchmark.tasks.mnist.gradients import CELL, ORIENTATIONS, oriented_gradients

GRID = 28 // CELL


def cells(images: torch.Tensor) -> torch.Tensor:
    """(n, orientations, rows, columns), before the square root."""
    return oriented_gradients(images).square().view(len(images), ORIENTATIONS, GRID, GRID)


def half(rising: bool = True) -> torch.Tensor:
    """Dark on the left and light on the right, or the other way round."""
    images = torch.full((1, 1, 28, 28), -1.0)
    images[..., 14:] = 1
    return images if rising else -images


def test_a_flat_picture_has_none() -> None:
    assert oriented_gradients(torch.full((2, 1, 28, 28), 0.3)).abs().max() == 0


def test_the_two_sides_of_a_stroke_point_opposite_ways() -> None:
    right, left = cells(half())[0], cells(half(rising=False))[0]
    assert right[0].sum() > 0 and right[1:].sum() == 0
    torch.testing.assert_close(left[ORIENTATIONS // 2], right[0])
    assert right[0, :, [0, 1, -2, -1]].sum() == 0  # only cells that touch the edge


def test_a_turned_picture_has_turned_cells_of_turned_directions() -> None:
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    turned = cells(torch.rot90(images, 1, (2, 3)))  # what pointed right points up, two directions back
    wanted = torch.rot90(cells(images), 1, (2, 3)).roll(-ORIENTATIONS // 4, dims=1)
    torch.testing.assert_close(turned, wanted, atol=1e-5, rtol=1e-4)


def test_a_gradient_between_two_directions_is_shared_and_nothing_is_lost() -> None:
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    angle = torch.tensor(0.3)  # between the first two of eight directions, 0 and 0.785
    ramp = (torch.cos(angle) * columns + torch.sin(angle) * rows)[None, None]
    inside = cells(ramp)[0, :, 2:-2, 2:-2].mean((1, 2))
    share = angle / (2 * torch.pi / ORIENTATIONS)
    torch.testing.assert_close(inside[:2], 2 * torch.stack([1 - share, share]), atol=1e-4, rtol=1e-4)
    assert inside[2:].abs().max() < 1e-4
