"""Editing a source changes the keys of what uses it, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.keys import ALL_RUNS, PAPAS, changed, edit, forget, keys, runs_of

from papa.benchmark.runs import key as provenance
from papa.benchmark.runs.key import module_file


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
    "a docstring": ("Fit the preference of all labelled items", "Other words"),
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
