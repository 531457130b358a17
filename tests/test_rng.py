"""Random streams: a number depends on its address alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from papa.rng import Stream

names = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=8)


@given(root=st.integers(0, 2**40), path=st.lists(names, max_size=4))
def test_the_same_address_has_the_same_numbers(root: int, path: list[str]) -> None:
    first, second = Stream(root).at(*path), Stream(root).at(*path)
    np.testing.assert_array_equal(first.normal(3, 2), second.normal(3, 2))
    np.testing.assert_array_equal(first.uniform(5), second.uniform(5))
    assert first.integer() == second.integer()


@given(paths=st.lists(st.lists(names, min_size=1, max_size=3), min_size=2, max_size=2, unique_by=tuple))
def test_another_address_has_other_numbers(paths: list[list[str]]) -> None:
    first, second = (Stream(7).at(*path) for path in paths)
    assert not np.array_equal(first.normal(4), second.normal(4))
    assert not np.array_equal(first.uniform(4), second.uniform(4))


def test_where_a_name_ends_matters() -> None:
    assert Stream(0).at("ab", "c").integer() != Stream(0).at("a", "bc").integer()
    assert Stream(0).at("a", "b").integer() != Stream(0).at("b", "a").integer()
    assert Stream(0).at("a").integer() != Stream(1).at("a").integer()


def test_axes_are_sorted_and_named() -> None:
    assert Stream(0).at(user="u", seed=3) == Stream(0).at(seed=3, user="u")
    assert Stream(0).at(seed=3) == Stream(0).at("seed=3")
    assert Stream(0).at(seed=3) != Stream(0).at(round=3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(m=st.integers(1, 40), n=st.integers(1, 40))
def test_the_first_rows_do_not_depend_on_how_many_follow(dtype: type, m: int, n: int) -> None:
    few, many = sorted((m, n))
    stream = Stream(5).at("rows")
    np.testing.assert_array_equal(stream.normal(many, 3, 2, dtype=dtype)[:few], stream.normal(few, 3, 2, dtype=dtype))
    np.testing.assert_array_equal(stream.uniform(many, 3)[:few], stream.uniform(few, 3))


def test_no_global_state_is_read_or_written() -> None:
    stream = Stream(3).at("x")
    first = stream.normal(8)
    np.random.seed(1)  # noqa: NPY002 - the global state is what is looked at
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    np.testing.assert_array_equal(stream.normal(8), first)
    stream.uniform(8)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_normals_and_uniforms_have_their_moments() -> None:
    normal, uniform = Stream(2).at("n").normal(20_000), Stream(2).at("u").uniform(20_000)
    assert normal.dtype == np.float32 and uniform.dtype == np.float64
    assert abs(normal.mean()) < 4 / 20_000**0.5 and abs(normal.std() - 1) < 0.02
    assert abs(uniform.mean() - 0.5) < 4 * (1 / 12 / 20_000) ** 0.5 and uniform.min() >= 0 and uniform.max() < 1
