"""The summary of reference results, and that the README shows the committed one."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import synthetic

from papa.errors import RecordError
from papa.paper import reference, select, summary

ROOT = Path(__file__).parents[2]
CLAIM = {"verdict": "supported", "sentence": "Something holds.", "reason": ""}


@pytest.fixture
def page(tmp_path: Path) -> tuple[Path, Path]:
    """A page with a place for a summary, and the folder of the results."""
    folder, page = Path("reference/mine"), tmp_path / "README.md"
    begin, end = summary.marks(folder)
    page.write_text(f"Before.\n{begin}\nold\n{end}\nAfter.\n")
    return page, folder


def test_every_compared_method_has_its_row() -> None:
    grid = synthetic.grid()
    table = select.check(synthetic.long_table(grid, rounds=2))
    text = summary.summary(table, grid, [CLAIM])
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    assert set(select.main_methods(grid, "digits")) <= set(rows)
    wanted = table[(table.method == "papa") & (table.metric == "preference_gold") & (table.stage == "final")]
    first = select.shared_users(table, grid, "digits")[0]
    assert rows["papa"].split("|")[2].strip().startswith(f"{wanted[wanted.user == first].value.mean():.3f} ±")
    assert "Something holds." in text and "95% t intervals" in text


def test_a_summary_takes_the_place_of_the_old_one_and_leaves_the_rest(page: tuple[Path, Path]) -> None:
    file, folder = page
    for text in ("new\n", "newer\n"):
        assert summary.place(file, folder, text) and summary.placed(file, folder) == text
    assert file.read_text().startswith("Before.\n<!--") and file.read_text().endswith("-->\nAfter.\n")


def test_a_page_without_the_marks_is_left_alone(page: tuple[Path, Path]) -> None:
    before = page[0].read_text()
    assert not summary.place(page[0], Path("reference/other"), "new") and page[0].read_text() == before


def test_half_a_mark_is_an_error(page: tuple[Path, Path]) -> None:
    page[0].write_text(page[0].read_text().replace(summary.marks(page[1])[1], ""))
    with pytest.raises(RecordError, match="needs both"):
        summary.place(page[0], page[1], "new")


@pytest.mark.parametrize(("page", "name"), [("README.md", "config"), ("docs/arena.md", "arena")])
def test_a_page_shows_the_committed_reference(page: str, name: str) -> None:
    folder = reference.FOLDER / name
    assert summary.placed(ROOT / page, folder) == (ROOT / folder / reference.SUMMARY).read_text(encoding="utf-8")
