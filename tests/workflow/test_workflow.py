"""The workflow from outside: what a run makes, what a change makes again, and that planning only looks."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import signal
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml
from support.workplace import ACCIDENTS, TINY, Work, assert_same_numbers, text_of, without_costs

from papa.benchmark import grid
from papa.paper.shown import made_by_default

PAPA = "digits", "papa", "likes-3"
FEW = "results/runs.parquet", "results/tables/T1.md", "figures/F1.png"
LOWER_LR = TINY["methods"] | {"papa": TINY["methods"]["papa"] | {"lr": 1e-3}}


def test_a_small_workflow_from_nothing(clean: Work, tmp_path: Path) -> None:
    """Planned without torch, run, and planned again where a run was cut short; and a bad setting."""
    work = clean.copy_to(tmp_path / "papa")
    work.configure(grid={"main": TINY["grid"]["main"] | {"methods": ["base", "papa"], "seeds": [0]}})
    (tmp_path / "torch.py").write_text("raise RuntimeError('planning imports torch')\n")
    plan = work.snakemake("-n", *FEW, PYTHONPATH=str(tmp_path))
    assert "2 of 2 runs missing, about " in plan.stderr and not (work.root / "results").exists()
    work.made(*FEW)
    assert all((work.root / name).stat().st_size for name in FEW)
    assert set(work.runs()) == {("digits", method, "likes-3", "seed0") for method in ("base", "papa")}
    os.truncate(work.run_folder(*PAPA, 0) / "samples.npz", 100)
    before = work.files()
    plan = work.planned(*FEW)
    assert plan.alignments == {(*PAPA, "0")} and not plan.rules["base_samples"] and plan.tables == {"T1"}
    work.configure(methods={"papaa": {}})
    done = work.snakemake()
    assert done.returncode == 1 and "Traceback" not in text_of(done) and work.files() == before
    assert "config.yaml: " in text_of(done) and "did you mean 'papa'?" in text_of(done)


@pytest.mark.slow
def test_what_a_change_makes_again(again: Work) -> None:
    shutil.copy(again.root / "config.yaml", again.root / "mine.yaml")  # the same settings in another file
    assert not again.planned(*FEW, "--configfile", "mine.yaml").rules
    done = again.snakemake("-n", "--configfile", "mine.yaml", "--config", "extends=config.yaml")
    assert done.returncode == 1 and "extends" in text_of(done)

    # What is damaged or gone is planned, and planning changes nothing.
    results = again.root / "results"
    os.truncate(results / "digits/base/seed0/samples.npz", 100)
    os.truncate(again.run_folder(*PAPA, 0) / "samples.npz", 100)
    shutil.rmtree(again.run_folder("gmm2d", "base", "linear", 0))
    before = again.files()
    plan = again.planned(*FEW)
    assert plan.rules["base_samples"] == 1 and plan.methods == {"base", "papa", "fkc"} and plan.tables == {"T1"}
    other = again.planned(*FEW, "--config", "confidence=0.8", "--touch")
    assert again.files() == before and other.rules["collect"]
    runs = again.runs()
    again.made(*FEW)
    assert again.remade(runs) == {(*PAPA, "seed0"), ("gmm2d", "base", "linear", "seed0")}
    assert "Nothing to be done" in text_of(again.made(*FEW))

    # A setting, and a method's source, make the runs again that they enter; a figure's source the figure alone.
    again.configure(methods=LOWER_LR)
    plan = again.planned(*FEW)
    assert plan.alignments == {(*PAPA, "0")} and not plan.rules["base_samples"] and plan.figures == {"F1"}
    again.configure()
    again.edit("papa/paper/figures/labels.py")
    plan = again.planned(*FEW)
    assert plan.figures == {"F1"} and not plan.alignments and not plan.tables
    again.edit("papa/smc/fkc.py")
    assert {"fkc", "fkc-plane"} <= again.planned(*FEW).methods


@pytest.mark.slow
def test_every_shipped_configuration_is_planned_and_the_linter_is_content(clean: Work) -> None:
    for name in ["config.yaml", *(f"config/{file.name}" for file in (clean.root / "config").glob("*.yaml"))]:
        if {"grid", "extends"} & set(yaml.safe_load((clean.root / name).read_text())):
            assert clean.planned("--configfile", name).rules["align"]
    clean.made("--lint")


def test_the_printed_schema_accepts_the_configuration_and_refuses_a_misspelling(clean: Work) -> None:
    schema = json.loads(clean.papa("schema").stdout)
    config = yaml.safe_load((clean.root / "config.yaml").read_text())
    jsonschema.validate(config, schema)
    for wrong in ({"confidense": 0.9}, {"methods": {"papa": {"updatez": 2}}}, {"tasks": {"digits": {"stepz": 3}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(config | wrong, schema)


@pytest.mark.slow
def test_a_run_makes_every_table_figure_verdict_and_the_report(again: Work) -> None:
    results, figures = again.root / "results", again.root / "figures"
    table_names, figure_names = made_by_default(grid.load(again.root / "config.yaml"))
    wanted = [results / "runs.parquet", results / "claims.md", results / "claims.json", results / "index.html"]
    wanted += [results / "tables" / f"{name}{suffix}" for name in table_names for suffix in (".md", ".csv")]
    wanted += [figures / f"{name}{suffix}" for name in figure_names for suffix in (".png", ".pdf")]
    assert [str(path) for path in wanted if not path.is_file() or not path.stat().st_size] == []
    before = again.files()
    for file in (again.root / "papa" / "data").rglob("*.safetensors"):
        file.touch()
    assert "Nothing to be done" in text_of(again.made())
    assert again.files() == before
    (results / "index.html").unlink()
    assert set(again.planned().rules) == {"page", "all"}
    again.configure(confidence=0.9)
    plan = again.planned()
    assert (
        plan.figures == set(figure_names)
        and plan.tables == set(table_names)
        and plan.rules["claims"]
        and not plan.alignments
    )
    again.configure()
    again.made()
    again.made("--report", "results/report.html")
    page = html.unescape((results / "report.html").read_text())
    for name in [*[f"figures/{name}" for name in figure_names], *[f"results/tables/{name}" for name in table_names]]:
        beginning = re.split(r"[^\w ]", (again.root / f"{name}.rst").read_text())[0]
        assert len(beginning) >= 3 and f'"<p>{beginning}' in page, name


@pytest.mark.slow
def test_an_edited_measure_is_measured_again_without_any_alignment(again: Work) -> None:
    again.edit("papa/benchmark/metrics/diversity.py")
    before, values = again.runs(), again.run_folder(*PAPA, 0) / "metrics.json"
    old = json.loads(values.read_text())
    again.made("results/runs.parquet")
    new = json.loads(values.read_text())
    assert not again.remade(before) and new["key"] != old["key"] and new["rows"] == old["rows"]


@pytest.mark.slow
def test_a_killed_run_continues_where_it_stopped(finished: Work, again: Work) -> None:
    targets = "results/runs.parquet", "results/tables/T1.csv"
    shutil.rmtree(again.run_folder(*PAPA, 0).parent)
    done = again.snakemake(*targets, PYTHONPATH=ACCIDENTS, KILL_AT_LOG="papa/likes-3/seed1: round 1/")
    assert done.returncode == -signal.SIGKILL
    first = again.runs()
    assert first[(*PAPA, "seed0")] and (*PAPA, "seed1") not in first
    done = again.resume(*targets, PYTHONPATH=ACCIDENTS, KILL_AT_WRITE="new/rounds.csv")
    assert done.returncode == -signal.SIGKILL
    assert again.runs() == first, "a half-written record took the place of a whole one"
    [torn] = again.run_folder(*PAPA, 1).parent.glob(".seed1.*.new")
    os.utime(torn, (0, 0))  # a writer that was killed long ago
    done = again.resume(*targets)
    assert done.returncode == 0, text_of(done)
    assert again.remade(first) == {(*PAPA, "seed1")}
    assert_same_numbers(finished.numbers(), again.numbers())
    assert_same_numbers(*(without_costs(pd.read_csv(work.root / targets[1])) for work in (finished, again)))
    assert [path.name for path in again.run_folder(*PAPA, 0).parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_a_failed_job_keeps_its_finished_seeds_and_another_setting_killed_and_changed_back(
    finished: Work, again: Work
) -> None:
    """The disk is full at the second seed. The old tables stay, and are made again once the runs are there."""
    again.configure(methods=LOWER_LR)
    before = again.runs()
    done = again.snakemake(*FEW, PYTHONPATH=ACCIDENTS, FULL_AT_WRITE="likes-3/.seed1")
    assert done.returncode == 1 and "papa align: cannot write" in text_of(done) and "Traceback" not in text_of(done)
    assert again.remade(before) == {(*PAPA, "seed0")}
    plan = again.planned(*FEW)
    assert plan.alignments == {(*PAPA, "0")} and plan.figures == {"F1"} and plan.tables == {"T1"}
    again.configure()
    assert again.planned(*FEW).alignments == {(*PAPA, "0")}
    again.made(*FEW)
    assert_same_numbers(finished.numbers(), again.numbers())
    assert "Nothing to be done" in text_of(again.made(*FEW))


@pytest.mark.slow
def test_seeds_and_users_per_job_change_no_number(finished: Work, again: Work) -> None:
    shutil.rmtree(again.root / "results/digits/runs")
    again.configure(seeds_per_job=1, grid={"main": TINY["grid"]["main"] | {"methods": ["fkc"], "seeds": [1, 0]}})
    again.made("results/runs.parquet")
    before = finished.numbers()
    assert_same_numbers(before[before.method == "fkc"], again.numbers())


@pytest.mark.slow
def test_planning_reads_its_sources_in_any_locale(again: Work) -> None:
    with (again.root / "config.yaml").open("a", encoding="utf-8") as handle:
        handle.write("# Was β groß genug? 很好\n")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = again.snakemake("-n", **plain)
    assert "Nothing to be done" in text_of(done), text_of(done)
    assert again.papa("make", "T7", **plain).returncode == 0
