"""What a result depends on: import closures, completion keys, and what imports no torch."""

from __future__ import annotations

import ast
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from support import tiny

from papa.benchmark import metrics, tasks, users
from papa.benchmark.grid import Grid
from papa.benchmark.machine import versions
from papa.benchmark.runs import key as provenance
from papa.benchmark.runs.key import import_closure, module_file
from papa.benchmark.runs.scores import score_key
from papa.methods import METHODS, declaration

REPOSITORY = Path(__file__).parents[3]
SMC = {"papa.smc", *(f"papa.smc.{name}" for name in ("fkc", "population", "weights", "resampling", "diversity"))}
BLOCKS: dict[str, Any] = {
    "digits": {
        "task": "digits",
        "methods": ["base", "best_of_n", "papa", "epapa", "fkc"],
        "users": ["likes-3"],
        "seeds": [0, 1],
    },
    "plane": {"task": "gmm2d", "methods": ["base", "fkc"], "users": ["linear"], "seeds": [0]},
}


def imported(file: Path) -> set[str]:
    """Top-level packages that a source imports, anywhere in it."""
    return {
        name.split(".")[0]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }


def forget() -> None:
    """What was read of the sources; each test may look at others."""
    for cached in ("_tree", "_behaviour", "import_closure", "source_hash", "artefact_hashes"):
        getattr(provenance, cached).cache_clear()


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package's sources that keys are made from, and that a test may edit."""
    package = tmp_path / "copy" / "papa"
    shutil.copytree(
        provenance.PACKAGE, package, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__", "README.md")
    )
    monkeypatch.setattr(provenance, "PACKAGE", package)
    forget()
    yield package
    forget()


def edit(file: Path) -> None:
    """Change what a source does (or what a data file says)."""
    added = "\nEDITED = True\n" if file.suffix == ".py" else "\n# edited\n"
    file.write_text(file.read_text(encoding="utf-8") + added, encoding="utf-8")
    forget()


def keys(tmp_path: Path, change: Callable[[dict[str, Any]], Any] = lambda data: None) -> dict[tuple, str]:
    """Completion keys of a grid, base pools included."""
    data = tiny.config(tmp_path) | {"grid": {name: dict(block) for name, block in BLOCKS.items()}}
    data["methods"]["epapa"] = dict(data["methods"]["papa"])
    change(data)
    grid = Grid(tiny.load(tiny.write(tmp_path, data)).config)
    found: dict[tuple, str] = {axes: spec.key for axes, spec in grid.specs.items()}
    for spec in grid:
        found[spec.task, "pool", spec.seed] = spec.base.key
        found[spec.task, "score", *grid_axes(spec)] = score_key(spec)
    return found


def grid_axes(spec: Any) -> tuple:
    return spec.method, spec.user, spec.seed


def changed(before: dict[tuple, str], after: dict[tuple, str]) -> set[tuple]:
    return {axes for axes in before if before[axes] != after.get(axes)}


def runs_of(found: set[tuple]) -> set[tuple]:
    """The changed alignment runs, as (task, method)."""
    return {axes[:2] for axes in found if axes[1] not in ("pool", "score")}


PAPAS = {("digits", "papa"), ("digits", "epapa")}
ALL_RUNS = {(block["task"], method) for block in BLOCKS.values() for method in block["methods"]}


# ---------------------------------------------------------------- closures


def all_modules() -> list[str]:
    """The modules of every method, task and kind of user."""
    declared = [*map(declaration, METHODS), *map(tasks.declaration, tasks.TASKS), *map(users.kind, users.KINDS)]
    return [entry.module for entry in declared]


def test_fkcs_closure_holds_the_smc_kernels_and_papas_holds_none() -> None:
    assert SMC - {"papa.smc"} <= set(import_closure(declaration("fkc").module))
    for name in ("papa", "base", "best_of_n"):
        assert not SMC & set(
            import_closure("papa.benchmark.runs.align", declaration(name).module, tasks.declaration("digits").module)
        ), name
    assert "papa.methods.papa.loss" in import_closure(declaration("papa").module)
    assert "papa.methods.papa.loss" not in import_closure(declaration("fkc").module)


def test_no_run_depends_on_figures_tables_metrics_or_the_command_line() -> None:
    modules = all_modules()
    closure = import_closure("papa.benchmark.runs.align", "papa.benchmark.runs.base_samples", *modules)
    for part in ("paper", "benchmark.metrics", "cli", "benchmark.doctor", "benchmark.machine", "recipes", "errors"):
        assert not [module for module in closure if module.startswith(f"papa.{part}")], part


def test_every_module_of_a_closure_has_a_file_and_every_file_of_the_package_parses() -> None:
    for module in import_closure("papa.cli", "papa.benchmark.runs.score", *metrics.modules()):
        assert module_file(module) is not None
    assert len(import_closure("papa.benchmark.runs.align")) > 8


def test_the_package_has_no_relative_imports_which_closures_do_not_follow() -> None:
    for file in provenance.PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), file


def test_imports_inside_functions_and_of_names_are_followed(copied: Path) -> None:
    (copied / "one.py").write_text("def f():\n    from papa import two\n    import papa.three\n")
    (copied / "two.py").write_text("from papa.smc.weights import normalized as n\n")
    (copied / "three.py").write_text("import numpy\n")
    forget()
    assert set(import_closure("papa.one")) == {"papa.one", "papa.two", "papa.three", "papa.smc.weights"} | (
        {"papa.smc"} & set(import_closure("papa.one"))
    )


READERS = {"pydantic", "PyYAML", "safetensors", "huggingface_hub", "filelock", "pillow", "tqdm"}
"""Packages that runs read settings and files with, or show progress with: values are the same in every version."""


def test_a_record_names_the_version_of_every_package_that_runs_compute_with() -> None:
    modules = all_modules()
    known, used = packages_distributions(), set()
    for module in import_closure("papa.benchmark.runs.align", "papa.benchmark.runs.base_samples", *modules):
        file = module_file(module)
        assert file is not None
        used |= {package for name in imported(file) for package in known.get(name, [])}
    assert {"torch", "peft", "open_clip_torch"} <= used
    assert used - READERS - {"papa"} <= set(versions())
    assert {"timm", "torchvision"} <= set(versions())  # what open_clip computes with


# ---------------------------------------------------------------- editing sources


def test_keys_of_an_untouched_copy_are_those_of_the_package(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    before = keys(tmp_path)
    request.getfixturevalue("copied")
    assert keys(tmp_path) == before


@pytest.mark.parametrize(
    "kernel", ["smc/fkc.py", "smc/resampling.py", "smc/weights.py", "methods/fkc/method.py", "methods/fkc/__init__.py"]
)
def test_editing_an_smc_kernel_changes_fkc_alone(copied: Path, tmp_path: Path, kernel: str) -> None:
    before = keys(tmp_path)
    edit(copied / kernel)
    found = changed(before, keys(tmp_path))
    assert runs_of(found) == {("digits", "fkc"), ("gmm2d", "fkc")}
    assert not [axes for axes in found if axes[1] == "pool"]


@pytest.mark.parametrize(
    ("source", "runs"),
    [
        ("methods/papa/method.py", PAPAS),
        ("methods/papa/__init__.py", PAPAS),
        ("methods/papa/loss.py", PAPAS),
        ("diffusion/losses.py", PAPAS),
        ("methods/shared/surrogate/network.py", {("digits", "fkc"), ("gmm2d", "fkc"), ("digits", "best_of_n")}),
        ("benchmark/tasks/digits/task.py", {run for run in ALL_RUNS if run[0] == "digits"}),
        ("benchmark/tasks/gmm2d/task.py", {run for run in ALL_RUNS if run[0] == "gmm2d"}),
        ("benchmark/users/classes/user.py", {run for run in ALL_RUNS if run[0] == "digits"}),
        ("benchmark/users/strokes/user.py", set()),
        ("session.py", ALL_RUNS),
        ("diffusion/sampler.py", ALL_RUNS),
        ("rng.py", ALL_RUNS),
    ],
)
def test_editing_a_source_changes_what_uses_it_and_nothing_else(
    copied: Path, tmp_path: Path, source: str, runs: set[tuple]
) -> None:
    before = keys(tmp_path)
    edit(copied / source)
    assert runs_of(changed(before, keys(tmp_path))) == runs


BOOKS = (
    *("benchmark/runs/record", "benchmark/runs/scores", "benchmark/machine", "benchmark/grid", "benchmark/specs"),
    *("errors", "files"),
)


def test_editing_what_keeps_books_changes_no_key_at_all(copied: Path, tmp_path: Path) -> None:
    before = keys(tmp_path)
    files = [file for module in provenance.BOOKKEEPING if (file := module_file(module))]
    assert {copied / f"{name}.py" for name in BOOKS} <= set(files) and len(files) == len(provenance.BOOKKEEPING)
    for file in files:
        edit(file)
    assert keys(tmp_path) == before


@pytest.mark.parametrize(
    "source",
    [
        f"paper/{name}"
        for name in (
            *("figures/labels.py", "figures/style.py", "tables/alignment.py", "claims.yaml", "select.py"),
            *("page.py", "page.html"),
        )
    ],
)
def test_editing_a_figure_or_a_table_changes_no_key(copied: Path, tmp_path: Path, source: str) -> None:
    before = keys(tmp_path)
    edit(copied / source)
    assert keys(tmp_path) == before


@pytest.mark.parametrize(("module", "data"), [("papa.paper.claims", "claims.yaml"), ("papa.paper.page", "page.html")])
def test_data_that_goes_by_a_modules_name_is_part_of_its_hash(copied: Path, module: str, data: str) -> None:
    before = provenance.source_hash(module)
    edit(copied / "paper" / data)
    assert provenance.source_hash(module) != before


def test_a_template_has_one_hash_with_either_line_end(copied: Path) -> None:
    """A checkout may turn the line ends of a text round."""
    before = provenance.source_hash("papa.paper.page")
    template = copied / "paper" / "page.html"
    template.write_bytes(template.read_bytes().replace(b"\n", b"\r\n"))
    provenance.source_hash.cache_clear()
    assert provenance.source_hash("papa.paper.page") == before


def test_editing_a_metric_scores_anew_and_aligns_nothing(copied: Path, tmp_path: Path) -> None:
    before = keys(tmp_path)
    edit(copied / "benchmark" / "metrics" / "diversity.py")
    assert {axes[1] for axes in changed(before, keys(tmp_path))} == {"score"}


def test_other_weights_change_every_run_of_their_task(copied: Path, tmp_path: Path) -> None:
    before = keys(tmp_path)
    card = copied / "data" / "digits" / "card.json"
    digest = provenance.artefact_hashes("digits")["gold.safetensors"]
    card.write_text(card.read_text(encoding="utf-8").replace(digest, "0" * 64))
    forget()
    assert runs_of(changed(before, keys(tmp_path))) == {run for run in ALL_RUNS if run[0] == "digits"}


REWORDED = {
    "an error": ("lower surrogate.lr", "make surrogate.lr smaller"),
    "a docstring": ("Fit the liking of all labelled items", "Other words"),
    "layout": ("        return copy.deepcopy(", "        return copy.deepcopy(\n            "),
    "a comment": ("        answered = np.flatnonzero", "        # A comment.\n        answered = np.flatnonzero"),
    "line ends": ("\n", "\r\n"),
}


@pytest.mark.parametrize("what", REWORDED)
def test_what_a_source_says_changes_no_key(copied: Path, tmp_path: Path, what: str) -> None:
    before, file = keys(tmp_path), copied / "methods" / "shared" / "surrogate" / "network.py"
    old, new = REWORDED[what]
    source = file.read_bytes().decode()
    assert old in source
    file.write_bytes(source.replace(old, new).encode())
    forget()
    assert keys(tmp_path) == before


def test_the_text_of_a_log_line_changes_no_key(copied: Path, tmp_path: Path) -> None:
    before, file = keys(tmp_path), copied / "benchmark" / "runs" / "align.py"
    source = file.read_text(encoding="utf-8")
    assert "going on after round" in source
    file.write_text(source.replace("going on after round", "resumed behind round"), encoding="utf-8")
    forget()
    assert keys(tmp_path) == before


@pytest.mark.parametrize(
    ("file", "old", "new", "methods"),
    [
        ("methods/shared/tilted/method.py", "self.rounds - 2", "self.rounds - 3", {"fkc"}),
        ("methods/papa/__init__.py", '"c_qpde": 0.009', '"c_qpde": 0.008', {"papa", "epapa"}),
        ("smc/resampling.py", "finfo(torch.float64).eps", "finfo(torch.float32).eps", {"fkc"}),
    ],
)
def test_a_schedule_a_preset_and_a_kernel_change_their_methods_alone(
    copied: Path, tmp_path: Path, file: str, old: str, new: str, methods: set[str]
) -> None:
    before, source = keys(tmp_path), (copied / file).read_text(encoding="utf-8")
    assert old in source
    (copied / file).write_text(source.replace(old, new), encoding="utf-8")
    forget()
    assert {name for _, name in runs_of(changed(before, keys(tmp_path)))} == methods


# ---------------------------------------------------------------- what a source does


class Reworded(ast.NodeTransformer):
    """Other words wherever a source only speaks. raised, logged, documented: how often it did."""

    def __init__(self) -> None:
        self.raised = self.logged = self.documented = 0

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        texts = [part for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        for part in texts:
            part.value += " In other words."
        self.raised += bool(texts)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        value = node.value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            value.value, self.documented = "Other words.", self.documented + 1
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ("log", "say"):
            value.args, self.logged = [ast.Constant("Other words.")], self.logged + 1
        return node


def test_other_words_in_every_source_change_no_key(copied: Path, tmp_path: Path) -> None:
    """Errors, log lines and docstrings of the whole package, without comments, in another layout, with CR LF."""
    before, words = keys(tmp_path), Reworded()
    for file in copied.rglob("*.py"):
        tree = words.visit(ast.parse(file.read_text(encoding="utf-8")))
        file.write_bytes(ast.unparse(tree).replace("\n", "\r\n").encode())
    forget()
    assert keys(tmp_path) == before
    assert words.raised > 60 and words.logged > 15 and words.documented > 400, "there was hardly anything to reword"


def does(source: str) -> list[str]:
    return list(provenance._said(ast.parse(source)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("if a:\n    b()\n    c()", "if a:\n    b()\nc()"),
        ("for a in b:\n    c()\nd()", "for a in b:\n    c()\n    d()"),
        ("def f():\n    a = 1\n    b = 2", "def f():\n    a = 1\nb = 2"),
        ("with a:\n    b()\nraise c", "with a:\n    b()\n    raise c"),
        ("f(g(a), b)", "f(g(a, b))"),
        ("[a, [b], c]", "[a, [b, c]]"),
        ("f(a, b=c)", "f(a, c)"),
        ("def f(*, a, b=1): return a", "def f(*, a=1, b): return a"),
        ("{**a, b: c}", "{b: a, **c}"),
        ("x[1:]", "x[:1]"),
        ("a - (b - c)", "a - b - c"),
        ("x = None", "x: None"),
        ("return_ = 1", "return_ = True"),
        ("raise ValueError(a)", "raise KeyError(a)"),
        ("a = 'text'", "a = 'other text'"),
        ("f('text')", "f('other text')"),
    ],
)
def test_sources_of_the_same_pieces_that_do_something_else_are_told_apart(one: str, other: str) -> None:
    assert does(one) != does(other)


SAMPLE = """
import a.b as c
from d import e
@c.f(1, *e, **{"g": None, **h})
class I(J, metaclass=K):
    l: int = 2
    async def m(self, n, /, o=3.5, *p, q, r=b"s", **t) -> None:
        async with u as v, w: await x
        try: y = [z for z in range(3) if z]
        except (A, B) as C: raise D("E") from C
        else: del F[G:H, ...]
        finally: global K1
        match a:
            case {"b": [c, *d]} if e: return f"{a!r:>8} and {c}"
            case I(x=1) | None: yield from g
def n(a): return lambda b, *, c=1: (a if b else c) and not -c
"""


@pytest.mark.parametrize("nothing", [None, []])
def test_a_key_does_not_depend_on_the_version_of_python(nothing: Any) -> None:
    """Newer versions add fields to the syntax tree, which are empty where a source does not use what is new."""
    assert hashlib.sha256("\0".join(does(SAMPLE)).encode()).hexdigest()[:16] == "1ee8e21491ab95cd"
    tree = ast.parse(SAMPLE)
    for node in ast.walk(tree):
        vars(node)["_fields"] = (*node._fields, "added")
        vars(node)["added"] = nothing
    assert list(provenance._said(tree)) == does(SAMPLE)
    vars(tree)["added"] = [ast.Name("used")]
    assert list(provenance._said(tree)) != does(SAMPLE)


# ---------------------------------------------------------------- changing the configuration


def test_adding_a_seed_changes_no_other_key(tmp_path: Path) -> None:
    before = keys(tmp_path)
    after = keys(tmp_path, lambda data: data["grid"]["digits"].update(seeds=[5, 0, 1]))
    assert not changed(before, after)
    assert {axes[-1] for axes in set(after) - set(before)} == {5}


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ("papa", {"lr": 0.5}),
        ("fkc", {"beta_max": 9}),
        ("best_of_n", {"surrogate": {"lr": 0.5}}),
        ("base", {"labels": 9}),
    ],
)
def test_changing_a_methods_setting_changes_that_method_alone(tmp_path: Path, method: str, setting: dict) -> None:
    found = changed(keys(tmp_path), keys(tmp_path, lambda data: data["methods"][method].update(setting)))
    assert {name for _, name in runs_of(found)} == {method}


def test_a_default_that_is_written_out_changes_nothing(tmp_path: Path) -> None:
    assert not changed(keys(tmp_path), keys(tmp_path, lambda data: data["methods"]["papa"].update(c_qpde=0.75)))


def test_neither_order_nor_labels_nor_grouping_matter(tmp_path: Path) -> None:
    def shuffled(data: dict[str, Any]) -> None:
        for name in ("methods", "grid"):
            data[name] = dict(reversed(data[name].items()))
        for block in data["grid"].values():
            block["methods"] = list(reversed(block["methods"]))
            block["seeds"] = list(reversed(block["seeds"]))
        data["seeds_per_job"] = 1
        data["results"], data["confidence"] = "elsewhere", 0.9

    before = keys(tmp_path)
    assert keys(tmp_path, shuffled) == before

    def renamed(data: dict[str, Any]) -> None:
        data["methods"]["mine"] = {"algorithm": "papa"} | data["methods"].pop("papa")
        data["grid"]["digits"]["methods"] = ["mine"]

    mine = keys(tmp_path, renamed)["digits", "mine", "likes-3", 0]
    assert mine == before["digits", "papa", "likes-3", 0]


@pytest.mark.parametrize(
    ("change", "pools"),
    [({"root_seed": 1}, True), ({"tasks": {"digits": {"steps": 4}, "gmm2d": {"steps": 6}}}, True)],
)
def test_what_everything_depends_on_changes_everything(tmp_path: Path, change: dict, pools: bool) -> None:
    before = keys(tmp_path)
    assert changed(before, keys(tmp_path, lambda data: data.update(change))) == set(before)


def test_all_keys_of_a_grid_differ(tmp_path: Path) -> None:
    found = keys(tmp_path)
    assert len(set(found.values())) == len(found)


def test_noise_on_the_answers_is_part_of_the_key(tmp_path: Path) -> None:
    def noisy(data: dict[str, Any], flip: float) -> None:
        data["users"] = {"noisy": {"user": "likes-3", "flip": flip}}
        data["grid"]["digits"]["users"] = ["likes-3", "noisy"]

    one, two = (keys(tmp_path, lambda data, flip=flip: noisy(data, flip)) for flip in (0.1, 0.2))
    assert {axes[2] for axes in changed(one, two) if axes[1] not in ("score", "pool")} == {"noisy"}
    assert one["digits", "papa", "noisy", 0] != one["digits", "papa", "likes-3", 0]


# ---------------------------------------------------------------- light starts

IMPORTS = """
import contextlib, io, sys
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    {code}
print(*sorted({{"torch", "diffusers", "sklearn", "matplotlib", "scipy", "pandas"}} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("from papa.cli import main; main(['--help'])", set()),
        ("from papa.cli import main; main(['align', '--help'])", set()),
        ("from papa.benchmark.grid import load; [spec.key for spec in load('config.yaml')]", set()),
        ("from papa.cli import main; main(['schema'])", set()),
        ("import papa.benchmark.runs.scores, papa.benchmark.runs.record, papa.benchmark.metrics", set()),
        ("import papa.paper.tables, papa.paper.claims, papa.paper.long_table, papa.paper.stats", {"pandas", "scipy"}),
        (
            "import papa.paper.figures, papa.paper.figures.style, papa.paper.figures.labels",
            {"pandas", "scipy", "matplotlib"},
        ),
    ],
)
def test_what_starts_without_torch(code: str, allowed: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS.format(code=code)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) <= allowed


def test_the_check_for_torch_can_fail() -> None:
    code = IMPORTS.format(code="import papa.benchmark.runs.align")
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "torch" in done.stdout.split()


def test_every_table_and_figure_module_does_without_torch() -> None:
    files = [*provenance.PACKAGE.glob("paper/tables/*.py"), *provenance.PACKAGE.glob("paper/figures/*.py")]
    names = [f"papa.paper.{file.parent.name}.{file.stem}" for file in files if file.stem != "__init__"]
    assert len(names) > 8
    code = f"import {', '.join(names)}, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_core_never_imports_snakemake_and_smc_no_diffusers() -> None:
    for file in provenance.PACKAGE.rglob("*.py"):
        named = imported(file)
        assert "snakemake" not in named, file
        if file.parent.name == "smc":
            assert "diffusers" not in named, file


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("if a:\n    b()\nc()", "if a:\n    b()\n    c()"),
        ("f(a, *b)", "f(*[a, b])"),
        ("{'k': v, **m}", "{**m, 'k': v}"),
        ("def f(a, b=1): ...", "def f(a=1, b=1): ..."),
        ("x = [1, [2]]", "x = [[1], 2]"),
    ],
)
def test_no_two_sources_that_do_different_things_read_alike(tmp_path: Path, one: str, other: str) -> None:
    files = []
    for name, source in (("one.py", one), ("other.py", other)):
        (tmp_path / name).write_text(source, encoding="utf-8")
        files.append(provenance._behaviour(tmp_path / name))
    forget()
    assert files[0] != files[1]
