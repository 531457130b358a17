"""The page: everything is on it; it loads nothing, escapes everything, and is the same twice."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from support import synthetic

from papa.benchmark.grid import Grid
from papa.errors import RecordError
from papa.paper import page, select, summary, tables
from papa.paper.shown import made_by_default
from papa.paper.tables import ledger

ABOUT = "Runs of commit 0123456789+ on a drawn processor."
EVIL = "<script>alert('&')</script>"


@pytest.fixture
def made(tmp_path: Path) -> tuple[Grid, pd.DataFrame]:
    """A grid of digits, its long table, and its tables, figures and claims on the disk."""
    block = {"task": "digits", "methods": ["base", "papa", "fkc"], "users": synthetic.USERS[:2], "seeds": [0, 1]}
    grid = synthetic.grid(tmp_path / "results", figures=str(tmp_path / "figures"), grid={"main": block})
    table = synthetic.long_table(grid, rounds=1)
    table.attrs["about"] = ABOUT
    names, figures = made_by_default(grid)
    for name in names:
        tables.write(name, table, grid, tmp_path / "results/tables")
    ledger.write(table, grid, tmp_path / "results")
    (tmp_path / "figures").mkdir()
    for index, name in enumerate(figures):
        Image.new("RGB", (100 + index, 40)).save(tmp_path / f"figures/{name}.png")
        (tmp_path / f"figures/{name}.rst").write_text(f"What {name} shows. {index} < {index + 1}. {ABOUT}\n")
    return grid, table


def test_everything_is_on_the_page_and_nothing_is_loaded(made: tuple[Grid, pd.DataFrame]) -> None:
    grid, table = made
    names, figures = made_by_default(grid)
    file = page.write(table, grid, "config/mine.yaml")
    text = file.read_text(encoding="utf-8")
    assert file == Path(grid.config.results) / "index.html"
    images = re.findall(r'<img src="data:image/png;base64,([^"]*)"', text)
    assert [base64.b64decode(image) for image in images] == [
        Path(grid.config.figures, f"{name}.png").read_bytes() for name in figures
    ]
    assert all(f'id="{name}"' in text and f'href="#{name}"' in text for name in (*names, *figures))
    assert "T5" not in names and 'id="T5"' not in text, "nothing empty"
    assert "<strong>F1. What F1 shows.</strong> 0 &lt; 1." in text and ABOUT in text
    for name in names:
        for row in tables.make(name, table, grid).markdown.splitlines():
            if row.startswith("|") and not row.startswith("|:"):
                cells = [cell.strip(" *") for cell in row.strip("|").split(" | ")]
                assert all(str(page.jinja2.filters.do_forceescape(cell)) in text for cell in cells), (name, row)
    claims = json.loads(Path(grid.config.results, "claims.json").read_text(encoding="utf-8"))
    assert all(f'id="claim-{claim["id"]}"' in text for claim in claims)
    assert "12 runs: 3 methods, 2 users, 1 task, 2 seeds. Diverged: none." in text and "95% t intervals" in text
    assert set(re.findall(r'(?:src|href)="([^"]{5})', text)) <= {
        "data:",
        *(h[:5] for h in re.findall('href="(#.*?)"', text)),
    }
    assert "default-src 'none'" in text and "<script" not in text and "url(" not in text


def test_equal_results_give_equal_bytes_without_paths(made: tuple[Grid, pd.DataFrame], tmp_path: Path) -> None:
    once = page.write(*reversed(made), "mine.yaml").read_bytes()
    again = page.write(*reversed(made), str(tmp_path / "mine.yaml")).read_bytes()
    assert once == again and str(tmp_path).encode() not in once


def test_everything_is_escaped(made: tuple[Grid, pd.DataFrame]) -> None:
    grid, table = made
    results = Path(grid.config.results)
    claims = json.loads((results / "claims.json").read_text(encoding="utf-8"))
    claims[0] |= dict.fromkeys(("sentence", "reason", "source", "comparison", "refuted_by"), EVIL)
    (results / "claims.json").write_text(json.dumps(claims), encoding="utf-8")
    (results / "tables/T1.md").write_text(f"### {EVIL}\n\n| a {EVIL} | b |\n|:--|--:|\n| c {EVIL} | **{EVIL}** |\n")
    (Path(grid.config.figures) / "F1.rst").write_text(f"{EVIL}. {EVIL}")
    text = page.write(table, grid, f"{EVIL}.yaml").read_text(encoding="utf-8")
    assert "<script" not in text and text.count("&lt;script&gt;") > 12


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("figures/F1.png", None),
        ("results/tables/T1.md", b"| a | b |\n|:--|--:|\n| c |\n"),
        ("results/claims.json", b"[{}]"),
    ],
)
def test_a_missing_or_damaged_file_is_refused(
    made: tuple[Grid, pd.DataFrame], file: str, content: bytes | None
) -> None:
    grid, table = made
    path = Path(grid.config.results).parent / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(RecordError, match="snakemake --cores all"):
        page.write(table, grid, "config.yaml")
    assert not (Path(grid.config.results) / "index.html").exists()


def test_a_summary_has_every_compared_method_and_the_verdicts(made: tuple[Grid, pd.DataFrame]) -> None:
    grid, table = made
    text = summary.markdown(select.check(table), grid, [{"verdict": "supported", "sentence": "It holds."}])
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    wanted = table[(table.method == "papa") & (table.metric == "preference_gold") & (table.stage == "final")]
    assert {"base", "papa", "fkc"} <= set(rows) and "images without a near copy, of 32" in rows["method"]
    assert rows["papa"].split("|")[2].strip().startswith(f"{wanted[wanted.user == 'likes-1479'].value.mean():.3f} ±")
    assert "1 supported" in text and "It holds." in text
