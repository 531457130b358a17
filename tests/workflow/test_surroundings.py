"""Folders with spaces and umlauts, a machine without Python on its path, a notebook's Matplotlib: the same results."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.workplace import TINY, Work, assert_same_numbers, text_of

PLANE = {"main": TINY["grid"]["plane"] | {"methods": ["base"]}}
RULES = "collect", "claims", "table_T1", "figure_F7"


@pytest.mark.parametrize(
    ("results", "figures"),
    [("my results", "Bilder für mich/ä 1"), ("~/out, of ü", "~/figures+1 (new)")],
    ids=["spaces and umlauts", "home"],
)
def test_folders_with_spaces_umlauts_and_home(
    finished: Work, clean: Work, tmp_path: Path, results: str, figures: str
) -> None:
    """Every kind of rule runs, and nothing is written elsewhere."""
    work, home = clean.copy_to(tmp_path / "a copy of papa"), tmp_path / "home of mine"
    home.mkdir()
    work.configure(results=results, figures=figures, grid=PLANE)
    listed = set(work.root.iterdir())
    done = work.snakemake(*RULES, HOME=str(home))
    assert done.returncode == 0, text_of(done)
    made, drawn = (Path(name.replace("~", str(home))) for name in (results, figures))
    assert (work.root / made / "runs.parquet").is_file() and (work.root / made / "tables/T1.md").is_file()
    for name in ("F7.png", "F7.pdf"):
        assert (work.root / drawn / name).stat().st_size > 1000
    written = {path.name for path in set(work.root.iterdir()) - listed} - {".snakemake"}
    assert written == {Path(name).parts[0] for name in (results, figures) if not name.startswith("~")}
    assert "Nothing to be done" in text_of(work.snakemake("-n", *RULES, HOME=str(home)))
    expected = finished.numbers().query("task == 'gmm2d' and method == 'base'")
    assert_same_numbers(expected, work.numbers(made))


def test_an_environment_that_is_not_activated(finished: Work, again: Work) -> None:
    """`.venv/bin/snakemake` with nothing on the path: no python, no git."""
    (again.root / "results/runs.parquet").unlink()
    snakemake = str(Path(sys.executable).with_name("snakemake"))
    done = again.shell(snakemake, "--cores", "2", "results/runs.parquet", PATH="")
    assert done.returncode == 0, text_of(done)
    assert_same_numbers(finished.numbers(), again.numbers())


@pytest.mark.parametrize("name", ["F1", "F7"])
def test_a_notebooks_backend_and_a_matplotlibrc_change_no_byte(finished: Work, again: Work, name: str) -> None:
    (again.root / "matplotlibrc").write_text(
        "text.usetex: True\nfont.size: 20\nsavefig.dpi: 10\nbackend: tkagg\naxes.facecolor: red\nlines.linewidth: 9\n"
        "savefig.bbox: tight\nfigure.facecolor: yellow\naxes.prop_cycle: cycler('color', ['k'])\n"
    )
    (again.root / "figures" / f"{name}.png").unlink()
    done = again.papa("plot", name, MPLBACKEND="module://matplotlib_inline.backend_inline")
    assert done.returncode == 0, text_of(done)
    for suffix in (".png", ".pdf", ".rst"):
        drawn, before = (work.root / "figures" / f"{name}{suffix}" for work in (again, finished))
        assert drawn.read_bytes() == before.read_bytes()


def test_a_backend_that_is_not_there_stops_no_score(finished: Work, again: Work) -> None:
    """Packages of the measures import Matplotlib."""
    (again.run_folder("digits", "papa", "likes-3", 0) / "metrics.json").unlink()
    done = again.papa(
        *("score", "--task", "digits", "--method", "papa", "--seeds", "0"),
        MPLBACKEND="module://matplotlib_inline.backend_inline",
    )
    assert done.returncode == 0, text_of(done)
    assert again.papa("collect").returncode == 0
    assert_same_numbers(finished.numbers(), again.numbers())
