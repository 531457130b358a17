"""The page: everything is on it, as it was written; it loads nothing, escapes everything, and is the same twice."""

from __future__ import annotations

import base64
import json
import re
import shutil
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from support import synthetic

from papa.benchmark.grid import Grid
from papa.errors import RecordError
from papa.paper import page, tables
from papa.paper.figures import FIGURES
from papa.paper.tables import TABLES, ledger
from papa.paper.tables.feedback import NOTHING as UNVARIED
from papa.paper.tables.personal import NOTHING

ABOUT = "Runs of commit 0123456789 on a drawn processor."
EMPTY = {"meta", "link", "img", "br", "hr", "input", "source"}
"""Elements without an end."""
LOADING = {"src", "srcset", "href", "data", "poster", "action", "background", "xlink:href", "formaction"}
"""Attributes whose value a browser may fetch."""
EVIL = "<script>alert('&')</script>"


class Read(HTMLParser):
    """A page as a tree would have it: what is wrong with its elements, their attributes, and the text.

    where: id -> the text within that element. tables: rows of cells. said: all of the text.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.wrong: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.said = ""
        self.where: dict[str, str] = {}
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        self.close()
        self.wrong += [f"<{tag}> is not closed" for tag, _ in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if len(found) < len(attrs):
            self.wrong.append(f"<{tag}> has an attribute twice")
        self.elements.append((tag, found))
        if tag not in EMPTY:
            self.open.append((tag, found.get("id", "")))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1][0] != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()} closes {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.said += data
        if any(tag in ("th", "td") for tag, _ in self.open):
            self.tables[-1][-1][-1] += data
        for _, name in self.open:
            if name:
                self.where[name] = self.where.get(name, "") + data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def fetched(text: str) -> list[str]:
    """What a browser would load, run or open from elsewhere for a page."""
    read = Read(text)
    found = [
        f"{tag} {name}={value[:40]}"
        for tag, attributes in read.elements
        for name, value in attributes.items()
        if name in LOADING and not value.startswith(("#", "data:"))
    ]
    found += [f"{tag} {name}" for tag, attributes in read.elements for name in attributes if name.startswith("on")]
    found += [tag for tag, _ in read.elements if tag in {"script", "iframe", "object", "embed", "base"}]
    return found + re.findall(r"url\((?!['\"]?data:)[^)]*|@import[^;]*", text)


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Grid, pd.DataFrame]:
    """A grid of digits and fruits, its long table, and its tables, figures and claims on the disk."""
    folder = tmp_path_factory.mktemp("paper")
    methods, seeds = ["base", "best_of_16", "papa", "fkc"], [0, 1, 2]
    blocks = {
        "main": {"task": "digits", "methods": methods, "users": synthetic.USERS[:2], "seeds": seeds},
        "variant": {"task": "digits", "methods": ["papa-lambda"], "users": synthetic.USERS[:1], "seeds": seeds},
        "fruits": {"task": "fruits", "methods": methods, "users": synthetic.FRUIT_USERS[:2], "seeds": seeds},
    }
    grid = synthetic.grid(folder / "results", figures=str(folder / "figures"), grid=blocks)
    table = synthetic.long_table(grid, rounds=1)
    table.attrs["about"] = ABOUT
    for name in TABLES:
        tables.write(name, table, grid, folder / "results/tables")
    ledger.write(table, grid, folder / "results")
    (folder / "figures").mkdir()
    for index, name in enumerate(FIGURES):
        Image.new("RGB", (1000 + index, 40), (index, 0, 0)).save(folder / f"figures/{name}.png")
        (folder / f"figures/{name}.rst").write_text(f"What {name} shows: {index} < {index + 1} & more. {ABOUT}\n")
    return grid, table


@pytest.fixture
def own(made: tuple[Grid, pd.DataFrame], tmp_path: Path) -> tuple[Grid, pd.DataFrame]:
    """A copy of `made`, to change."""
    grid, table = made
    shutil.copytree(Path(grid.config.results).parent, tmp_path / "paper")
    places = {"results": str(tmp_path / "paper/results"), "figures": str(tmp_path / "paper/figures")}
    (tmp_path / "paper/results/index.html").unlink(missing_ok=True)
    return Grid(grid.config.model_copy(update=places)), table


@pytest.fixture(scope="module")
def text(made: tuple[Grid, pd.DataFrame]) -> str:
    grid, table = made
    path = page.write(table, grid, "config/mine.yaml")
    assert path == Path(grid.config.results) / "index.html"
    return path.read_text(encoding="utf-8")


# ---------------------------------------------------------------- a whole page that stands alone


def test_the_page_is_well_formed(text: str) -> None:
    read = Read(text)
    assert read.wrong == []
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [link["href"] for link in read.all("a")]
    assert links and {link.removeprefix("#") for link in links} <= set(ids)
    assert {attributes["aria-labelledby"] for _, attributes in read.elements if "aria-labelledby" in attributes} <= set(
        ids
    )
    assert [len(read.all(tag)) for tag in ("html", "head", "title", "body", "main", "nav", "h1")] == [1] * 7
    assert all(image["alt"].strip() for image in read.all("img"))
    assert all("width=device-width" in meta["content"] for meta in read.all("meta") if meta.get("name") == "viewport")


@pytest.mark.parametrize(
    ("broken", "what"),
    [("<p><b>a</p></b>", "</p>"), ("<div>", "<div>"), ("</p>", "</p>"), ('<p id="a" id="b"></p>', "twice")],
)
def test_the_reader_sees_what_is_not_well_formed(broken: str, what: str) -> None:
    assert what in str(Read(broken).wrong)


def test_the_page_loads_nothing_from_elsewhere(text: str) -> None:
    assert fetched(text) == []
    assert "default-src 'none'" in next(meta["content"] for meta in Read(text).all("meta") if "http-equiv" in meta)


@pytest.mark.parametrize(
    "added",
    [
        '<img src="https://example.org/a.png" alt="">',
        '<img src="../figures/F1.png" alt="">',
        '<a href="file:///tmp/x">x</a>',
        '<link rel="stylesheet" href="style.css">',
        "<script>1</script>",
        '<p onclick="go()">x</p>',
        "<style>@import 'x.css';</style>",
        "<style>p { background: url(x.png) }</style>",
    ],
)
def test_whatever_would_be_loaded_is_seen(text: str, added: str) -> None:
    assert fetched(text.replace("</main>", f"{added}</main>")) != []


# ---------------------------------------------------------------- everything is on it


def test_every_figure_is_there_whole_with_its_caption(made: tuple[Grid, pd.DataFrame], text: str) -> None:
    folder, read = Path(made[0].config.figures), Read(text)
    images = read.all("img")
    assert len(images) == len(FIGURES)
    for name, image in zip(FIGURES, images, strict=True):
        data = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"), validate=True)
        assert data == (folder / f"{name}.png").read_bytes()
        assert (int(image["width"]), int(image["height"])) == Image.open(BytesIO(data)).size
        caption = words((folder / f"{name}.rst").read_text(encoding="utf-8"))
        assert f"{name}. {caption}" in words(read.where[name])
        assert ABOUT in caption or caption == words({"F6": UNVARIED, "F8": NOTHING}.get(name, ""))
    assert [link["href"] for link in read.all("a") if link["href"].startswith("#F")] == [f"#{name}" for name in FIGURES]


def test_every_cell_of_every_table_is_there_with_the_caption(made: tuple[Grid, pd.DataFrame], text: str) -> None:
    grid, table = made
    read, shown = Read(text), []
    for name in TABLES:
        written = tables.make(name, table, grid)
        assert f"{name}. {words(written.caption)}" in words(read.where[name])
        assert ABOUT in written.caption or written.caption == {"T5": UNVARIED, "T6": NOTHING}.get(name)
        for line in written.markdown.splitlines():
            if line.startswith("### "):
                assert line.removeprefix("### ") in read.where[name]
            elif line.startswith("|") and not line.startswith(("| :-", "| -")):
                shown.append([cell.strip().strip("*") for cell in line.strip("| \n").split(" | ")])
    assert len(shown) > 80
    cells = [[cell.strip() for cell in row] for grid_of in read.tables for row in grid_of]
    assert cells == shown


def test_every_claim_is_there_with_its_verdict(made: tuple[Grid, pd.DataFrame], text: str) -> None:
    claims = json.loads(Path(made[0].config.results, "claims.json").read_text(encoding="utf-8"))
    read = Read(text)
    assert len(claims) > 10 and {claim["verdict"] for claim in claims} >= {"undecided", "not run", "retired"}
    for claim in claims:
        said = words(read.where[f"claim-{claim['id']}"])
        assert said.startswith(f"{claim['verdict']} {words(claim['sentence'])}")
        for key in ("comparison", "reason", "refuted_by", "source"):
            assert words(claim[key]).rstrip(".") in said, key
        if claim["effect"] is not None:
            assert f"{claim['effect']:+.3f} [{claim['lower']:+.3f}, {claim['upper']:+.3f}]" in said


def test_what_came_out_and_what_it_was_made_from_stand_on_it(text: str) -> None:
    said = words(re.sub(r"<[^>]*>", "", text))
    assert "On digits, " in said and "On fruits, " in said and "claims in the ledger" in said
    assert f"Results of config/mine.yaml, by papa {page.__version__}. {ABOUT}" in said
    assert "best_of_16: {algorithm: best_of_n, n: 16}" in said and "95% t intervals" in said


# ---------------------------------------------------------------- what is put in is text


def test_everything_that_is_put_in_is_escaped(own: tuple[Grid, pd.DataFrame], monkeypatch: pytest.MonkeyPatch) -> None:
    """In captions, cells, headings, claims, settings, the names of files and of commits."""
    grid, table = own
    results, figures = Path(grid.config.results), Path(grid.config.figures)
    claims = json.loads((results / "claims.json").read_text(encoding="utf-8"))
    for key in ("sentence", "reason", "source", "comparison", "refuted_by"):
        claims[0][key] = f"{key} {EVIL}"
    (results / "claims.json").write_text(json.dumps(claims), encoding="utf-8")
    for file in (results / "claims.rst", results / "tables/T1.rst", figures / "F1.rst"):
        file.write_text(f"{file.name} {EVIL}: and more", encoding="utf-8")
    cells = f"### {EVIL}\n\n| a {EVIL} | b |\n| :--- | ---: |\n| c {EVIL} | **{EVIL}** |\n"
    (results / "tables/T1.md").write_text(cells, encoding="utf-8")
    table = table.copy()
    table.attrs["about"] = f"Runs of commit {EVIL}."
    monkeypatch.setattr(page, "_settings", lambda _: f"users: {EVIL}")  # none that the checks of settings let pass
    text = page.write(table, grid, f"{EVIL}.yaml").read_text(encoding="utf-8")
    assert "<script" not in text and fetched(text) == [] and Read(text).wrong == []
    read = Read(text)
    assert read.where[f"claim-{claims[0]['id']}"].count(EVIL) == 5 and read.where["T1"].count(EVIL) == 5
    assert read.tables[0] == [[f"a {EVIL}", "b"], [f"c {EVIL}", EVIL]]
    assert all(part in read.said for part in (f"Results of {EVIL}.yaml", f"commit {EVIL}.", f"users: {EVIL}"))


def test_a_bar_in_a_cell_is_no_border() -> None:
    from papa.paper import report

    (part,) = page.parts(
        "**T9.** A caption | with a bar.\n\n" + report.markdown(["a", "b"], [["x|y", "1"], ["z", "2"]])
    )
    assert (part.headings, part.rows, part.left) == (["a", "b"], [["x|y", "1"], ["z", "2"]], [True, False])


def test_a_column_of_sentences_stands_at_the_left() -> None:
    (part,) = page.parts("| a | b |\n| :-- | --: |\n| x | " + "a sentence " * 5 + "|\n")
    assert part.left == [True, True]


# ---------------------------------------------------------------- the same twice, and a clear word where it cannot be


def test_the_same_results_give_the_same_bytes_wherever_they_lie(
    own: tuple[Grid, pd.DataFrame], text: str, tmp_path: Path
) -> None:
    grid, table = own
    once = page.write(table, grid, "config/mine.yaml").read_bytes()
    assert page.write(table, grid, "config/mine.yaml").read_bytes() == once == text.encode()
    assert str(tmp_path).encode() not in once
    elsewhere = page.write(table, grid, str(tmp_path / "mine.yaml")).read_text(encoding="utf-8")
    assert str(tmp_path) not in elsewhere and "<code>mine.yaml</code>" in elsewhere


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("results/tables/T1.md", "papa table T1"),
        ("results/tables/T7.rst", "papa table T7"),
        ("figures/F2.png", "papa plot F2"),
        ("figures/F9-t2i.rst", "papa plot F9-t2i"),
        ("results/claims.json", "papa claims"),
        ("results/claims.rst", "papa claims"),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_makes_it(
    own: tuple[Grid, pd.DataFrame], file: str, command: str
) -> None:
    grid, table = own
    lost = Path(grid.config.results).parent / file
    lost.unlink()
    with pytest.raises(RecordError) as refused:
        page.write(table, grid, "config.yaml")
    assert f"the page lacks {lost}. Run `{command}` with" in str(refused.value)
    assert "snakemake --cores all" in str(refused.value)
    assert not (Path(grid.config.results) / "index.html").exists()


def test_many_that_are_missing_are_counted(own: tuple[Grid, pd.DataFrame]) -> None:
    grid, table = own
    shutil.rmtree(grid.config.figures)
    with pytest.raises(RecordError) as refused:
        page.write(table, grid, "config.yaml")
    assert f" and {2 * len(FIGURES) - 3} other files. Run `snakemake --cores all`" in str(refused.value)
    assert "papa plot F2" not in str(refused.value) and len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("figures/F4.png", b"", "(it is no PNG); run `papa plot F4` again"),
        ("figures/F4.png", b"<svg/>" * 9, "(it is no PNG); run `papa plot F4` again"),
        ("results/claims.json", b"[{}]", "run `papa claims` again"),
        ("results/claims.json", b"[", "run `papa claims` again"),
        ("results/claims.json", b"{}{}", "run `papa claims` again"),
        ("results/tables/T3.md", b"| a | b |\n| :-- | --: |\n| c |\n", "run `papa table T3` again"),
        ("results/tables/T3.md", b"| a |\n", "run `papa table T3` again"),
        ("results/tables/T3.md", b"\xff", "run `papa table T3` again"),
    ],
)
def test_what_is_damaged_is_named_with_the_command_that_makes_it_again(
    own: tuple[Grid, pd.DataFrame], file: str, content: bytes, words: str
) -> None:
    grid, table = own
    path = Path(grid.config.results).parent / file
    path.write_bytes(content)
    with pytest.raises(RecordError, match=re.escape(words)) as refused:
        page.write(table, grid, "config.yaml")
    assert str(path) in str(refused.value)
    assert not (Path(grid.config.results) / "index.html").exists()
