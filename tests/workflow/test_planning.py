"""Planning looks and changes nothing, and what it plans follows what a source does, not what it says."""

from __future__ import annotations

import re
import shutil

import pytest
from support.workplace import TINY, Work, text_of

from papa.benchmark import grid
from papa.paper.figures import FIGURES
from papa.paper.shown import shown

MORE = TINY | {
    "methods": TINY["methods"] | {"papa": TINY["methods"]["papa"] | {"lr": 1e-2}},
    "grid": {
        "plane": TINY["grid"]["plane"] | {"seeds": [0, 1]},
        "main": TINY["grid"]["main"] | {"users": ["likes-068"]},
    },
}


def test_a_dry_run_changes_nothing(again: Work) -> None:
    """Of this configuration, of another one, of a broken one, and while things are missing or damaged."""
    again.write("more.yaml", MORE)
    again.write("broken.yaml", TINY | {"grid": {}})
    before = again.files()
    again.made("-n")
    assert again.planned("--configfile", "more.yaml").alignments
    assert again.planned("--config", "confidence=0.8").figures == set(FIGURES)
    assert again.snakemake("-n", "--configfile", "broken.yaml").returncode != 0
    assert again.files() == before

    results = again.root / "results"
    shutil.rmtree(again.run_folder("digits", "papa", "likes-3", 0))
    shutil.rmtree(results / "gmm2d/base")
    (again.run_folder("digits", "fkc", "likes-3", 1) / "metrics.json").write_text("[]")
    (again.run_folder("digits", "fkc", "likes-3", 0) / "run.json").write_text("null")
    (results / "stamps/align/digits/base/likes-3/chunk0.txt").unlink()
    (results / "tables/T1.md").unlink()
    (again.root / "figures/F1.png").unlink()
    before = again.files()
    plan = again.planned()
    assert {"base_samples", "align", "collect", "table_T1", "figure_F1"} <= set(plan.rules)
    assert again.planned("--configfile", "more.yaml").alignments
    assert again.files() == before


@pytest.mark.parametrize(
    "target",
    ["figures/F4.png", "figures/F5-t2i.png", "figures/F7.png", "results/tables/T2.md", "results/claims.md"],
)
def test_a_target_plans_the_runs_that_it_shows_and_no_other(clean: Work, target: str) -> None:
    """In a fresh clone, of the default experiment."""
    said = clean.made("-n", target).stdout
    runs = {
        (task, method, user, int(seed))
        for task, method, users, seeds in re.findall(
            r"papa align .*--task (\S+) --method (\S+) --user (.+?) --seeds ([\d ]+) --threads", said
        )
        for user in users.split()
        for seed in seeds.split()
    }
    of = grid.load(clean.root / "config.yaml")
    wanted = shown(target.split("/")[-1].split(".")[0], of)
    assert runs == {(spec.task, spec.method, spec.user, spec.seed) for spec in wanted}
    bases = set(re.findall(r"papa base .*--task (\S+)", said))
    studied = {of.config.personal.task} if target.split("/")[-1] == "claims.md" and of.config.personal else set()
    assert bases == {spec.task for spec in wanted} | studied
    assert len(re.findall(r"papa (?:table|plot|claims|collect|page) ", said)) == 1


def test_rewording_reruns_nothing(again: Work) -> None:
    """Messages of modules that keep books, of errors and logs in methods; docstrings, comments and layout."""
    books = {
        "papa/benchmark/runs/record.py": ("is truncated or damaged; delete", "is not whole; delete"),
        "papa/benchmark/machine.py": ("has no CUDA device that PyTorch sees", "shows PyTorch no CUDA device"),
        "papa/benchmark/runs/scores.py": ("was changed after it was measured", "is not what was measured"),
        "papa/errors.py": ("Errors that a person can act on", "Errors for people"),
        "papa/benchmark/doctor.py": ("needs no artefacts", "wants no artefacts"),
    }
    for file, (old, new) in books.items():
        again.replace(file, old, new)
    assert "Nothing to be done" in text_of(again.made("-n"))
    for file in ("methods/papa/method", "methods/fkc/method", "smc/fkc", "benchmark/runs/align", "diffusion/losses"):
        source = again.root / f"papa/{file}.py"
        text = source.read_text(encoding="utf-8")
        text = re.sub(r'^"""', '"""Reworded. ', text, count=1)
        source.write_text(text.replace("\n\n\ndef ", "\n\n\n# A comment.\ndef ") + "\n\n# An end.\n", encoding="utf-8")
    again.replace("papa/benchmark/runs/align.py", "going on after round", "continuing behind round")
    assert "Nothing to be done" in text_of(again.made("-n"))


@pytest.mark.parametrize(
    ("file", "old", "new", "methods"),
    [
        (
            "papa/methods/fkc/method.py",
            "torch.linspace(0, beta, len(self._sigmas), dtype=torch.float64)",
            "beta * torch.linspace(0, 1, len(self._sigmas), dtype=torch.float64) ** 2",
            {"fkc", "fkc-plane"},
        ),
        ("papa/methods/papa/__init__.py", '"c_qpde": 0.009', '"c_qpde": 0.01', {"papa"}),
    ],
    ids=["schedule", "preset"],
)
def test_a_changed_schedule_or_preset_reruns_its_methods(
    again: Work, file: str, old: str, new: str, methods: set[str]
) -> None:
    again.replace(file, old, new)
    plan = again.planned()
    assert plan.methods == methods and not plan.rules["base_samples"] and not plan.rules["prepare"]
    of = grid.load(again.root / "config.yaml")
    showing = {name for name in FIGURES if methods & {spec.method for spec in shown(name, of)}}
    assert plan.rules["collect"] and plan.figures == showing and "F1" in showing


def test_planning_reads_its_sources_in_any_locale(again: Work) -> None:
    """Sources and configurations are UTF-8 whatever the system takes text for."""
    (again.root / "config.yaml").write_text(
        (again.root / "config.yaml").read_text(encoding="utf-8") + "# Was β groß genug? 很好\n", encoding="utf-8"
    )
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = again.snakemake("-n", **plain)
    assert "Nothing to be done" in text_of(done), text_of(done)
    assert again.papa("table", "T7", **plain).returncode == 0
