"""The workflow from outside: what a run leaves behind, what a change makes again, what an accident destroys."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml
from support.workplace import ACCIDENTS, REPOSITORY, TINY, Work, assert_same_numbers, text_of, without_costs

from papa.benchmark import grid
from papa.paper.figures import FIGURES
from papa.paper.tables import TABLES

PAPA = "digits", "papa", "likes-3"


# ---------------------------------------------------------------- what a run leaves behind


def test_a_run_makes_every_table_figure_and_verdict(finished: Work) -> None:
    results, figures = finished.root / "results", finished.root / "figures"
    wanted = [results / "runs.parquet", results / "claims.md", results / "claims.json", results / "index.html"]
    wanted += [results / "tables" / f"{name}{suffix}" for name in TABLES for suffix in (".md", ".csv")]
    wanted += [figures / f"{name}{suffix}" for name in FIGURES for suffix in (".png", ".pdf")]
    assert [str(path) for path in wanted if not path.is_file() or not path.stat().st_size] == []
    assert all((figures / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in FIGURES)
    assert all((figures / f"{name}.pdf").read_bytes().startswith(b"%PDF") for name in FIGURES)
    assert finished.remade({}) == {
        (block["task"], method, user, f"seed{seed}")
        for block in TINY["grid"].values()
        for method in block["methods"]
        for user in block["users"]
        for seed in block["seeds"]
    }


def test_run_folders_describe_themselves(finished: Work) -> None:
    meta = json.loads((finished.run_folder(*PAPA, 1) / "run.json").read_text())
    assert [meta[name] for name in ("task", "method", "user", "seed", "status")] == [*PAPA, 1, "done"]
    assert meta["asked"]["settings"].items() >= TINY["methods"]["papa"].items()
    assert meta["asked"]["root_seed"] == 2026 and meta["asked"]["user"]["taste"] == {"classes": [3]}
    assert meta["labels"] == 8 and meta["learning"]["backward"] > 0
    assert meta["seconds"]["total"] > 0 and meta["peak_memory_mib"] > 0
    assert set(meta["files"]) == {"samples.npz", "feedback.jsonl", "rounds.csv"}
    base = json.loads((finished.root / "results/digits/base/seed1/run.json").read_text())
    assert base["asked"]["samples"] == TINY["measures"]["base"]
    assert (base["task"], base["seed"]) == ("digits", 1)
    for record in (meta, base):
        assert {"schema_version", "key", "weights", "device", "digest"} <= set(record)
        assert {"versions", "commit", "threads", "processor"} <= set(record["machine"]) and record["machine"][
            "processor"
        ]


def test_the_report_holds_every_caption(again: Work) -> None:
    again.made("--report", "results/report.html")
    page = html.unescape((again.root / "results" / "report.html").read_text())
    captions = [*[f"figures/{name}" for name in FIGURES], *[f"results/tables/{name}" for name in TABLES]]
    for name in [*captions, "results/claims"]:
        # Up to the first mark that reStructuredText may set in another way.
        beginning = re.split(r"[^\w ]", (again.root / f"{name}.rst").read_text())[0]
        assert len(beginning) >= 3 and f'"<p>{beginning}' in page, name
    assert "8 labels in rounds of 4; 4 denoising steps (digits)" in page


def test_a_second_run_does_nothing_even_where_weights_were_touched(again: Work) -> None:
    before = again.files()
    for file in (again.root / "papa" / "data").rglob("*.safetensors"):
        file.touch()
    assert "Nothing to be done" in text_of(again.made())
    assert again.files() == before


# ---------------------------------------------------------------- what a change makes again


@pytest.mark.parametrize(
    ("file", "methods"),
    [("papa/methods/papa/method.py", {"papa"}), ("papa/smc/fkc.py", {"fkc", "fkc-plane"})],
)
def test_an_edited_method_or_kernel_reruns_what_imports_it(again: Work, file: str, methods: set[str]) -> None:
    again.edit(file)
    plan = again.planned()
    assert plan.methods == methods
    assert not plan.rules["base_samples"] and plan.rules["collect"]


@pytest.mark.parametrize(
    ("file", "rules"),
    [
        ("papa/paper/figures/labels.py", {"figure_F1", "figure_F1-t2i"}),
        ("papa/paper/tables/ledger.py", {"claims", "table_T7"}),
        ("papa/paper/claims.yaml", {"claims", "table_T7"}),
    ],
)
def test_an_edited_figure_table_or_claim_is_made_again_alone(again: Work, file: str, rules: set[str]) -> None:
    again.edit(file)
    assert set(again.planned().rules) == rules | {"page", "all"}


def test_an_edited_measure_is_scored_again_without_any_alignment(again: Work) -> None:
    again.edit("papa/benchmark/metrics/diversity.py")
    plan = again.planned()
    assert plan.rules["collect"] and {"T1", "T3"} <= plan.tables and not plan.rules["base_samples"]
    before, values = again.runs(), again.run_folder(*PAPA, 0) / "metrics.json"
    old = json.loads(values.read_text())
    again.made("results/stamps/align/digits/papa/likes-3/chunk0.txt")
    new = json.loads(values.read_text())
    assert not again.remade(before), "a run was made again"
    assert new["key"] != old["key"] and new["rows"] == old["rows"]


def test_a_changed_setting_reruns_its_method_alone(again: Work) -> None:
    again.configure(methods=TINY["methods"] | {"papa": TINY["methods"]["papa"] | {"lr": 1e-3}})
    plan = again.planned()
    assert plan.alignments == {(*PAPA, "0")} and not plan.rules["base_samples"]


def test_the_level_of_intervals_reruns_tables_and_figures_alone(again: Work) -> None:
    again.configure(confidence=0.9)
    plan = again.planned()
    assert plan.figures == set(FIGURES) and plan.tables == set(TABLES) and plan.rules["claims"]
    assert not plan.alignments


def test_an_added_seed_runs_alone(again: Work) -> None:
    main = TINY["grid"]["main"] | {"seeds": [0, 1, 2]}
    again.configure(grid=TINY["grid"] | {"main": main})
    plan = again.planned()
    assert plan.alignments == {("digits", method, "likes-3", "1") for method in main["methods"]}
    assert plan.rules["base_samples"] == 1


def test_the_same_settings_in_another_file_rerun_nothing(again: Work) -> None:
    shutil.copy(again.root / "config.yaml", again.root / "mine.yaml")
    assert not again.planned("--configfile", "mine.yaml").rules


# ---------------------------------------------------------------- accidents


def test_a_killed_run_goes_on_where_it_stopped(finished: Work, again: Work) -> None:
    targets = "results/runs.parquet", "results/tables/T1.csv"
    shutil.rmtree(again.run_folder(*PAPA, 0).parent)
    (again.root / "results/runs.parquet").unlink()
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


def test_a_failed_job_keeps_its_finished_seeds_and_says_what_to_do(again: Work) -> None:
    """Both seeds are to be made again, and at the second the disk is full. The old tables still stand."""
    again.configure(methods=TINY["methods"] | {"papa": TINY["methods"]["papa"] | {"lr": 1e-3}})
    job = "/".join(PAPA) + "/chunk0"
    before = again.runs()
    done = again.snakemake(f"results/stamps/align/{job}.txt", PYTHONPATH=ACCIDENTS, FULL_AT_WRITE="likes-3/.seed1")
    assert done.returncode == 1
    message = (again.root / f"results/logs/align/{job}.log").read_text().splitlines()[-1]
    assert message.startswith("papa align: cannot write") and "Free disk space" in message
    assert message in text_of(done) and "Traceback" not in text_of(done)
    assert again.remade(before) == {(*PAPA, "seed0")}

    plan = again.planned()
    assert plan.alignments == {(*PAPA, "0")} and {"F1", "F2", "F3"} <= plan.figures and "T1" in plan.tables
    before = again.runs()
    again.made(f"results/stamps/align/{job}.txt")
    assert again.remade(before) == {(*PAPA, "seed1")}


def test_a_damaged_record_is_named_and_made_again_once_deleted(again: Work) -> None:
    folder = again.run_folder(*PAPA, 0)
    os.truncate(folder / "samples.npz", 100)
    (again.root / "results/runs.parquet").unlink()
    done = again.snakemake("results/runs.parquet")
    assert done.returncode == 1 and "samples.npz is truncated or damaged; delete the folder" in text_of(done)
    shutil.rmtree(folder)
    assert again.planned("results/runs.parquet").alignments == {(*PAPA, "0")}


def test_one_or_two_seeds_a_job_in_any_order_give_the_same_numbers(finished: Work, again: Work) -> None:
    """For FKC; the killed run above shows it for PAPA, whose seed 1 is made there by a process of its own."""
    shutil.rmtree(again.root / "results/digits/runs")
    again.configure(seeds_per_job=1, grid={"main": TINY["grid"]["main"] | {"methods": ["fkc"], "seeds": [1, 0]}})
    again.made("results/runs.parquet")
    before = finished.numbers()
    assert_same_numbers(before[before.method == "fkc"], again.numbers())


# ---------------------------------------------------------------- before anything runs


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"methods": {"papa": {"updatez": 2}}}, ("methods.papa: unknown setting 'updatez'", "did you mean 'updates'?")),
        ({"methods": {"papaa": {}}}, ("unknown method 'papaa'", "did you mean 'papa'?")),
        ({"methods": {"papa": {"labels": -8}}}, ("methods.papa.labels", "greater than or equal to 1", "-8")),
    ],
)
def test_bad_settings_stop_at_once_with_one_paragraph(again: Work, given: dict, words: tuple[str, ...]) -> None:
    before = again.files()
    again.configure(**given)
    done = again.snakemake()
    assert done.returncode == 1 and "Traceback" not in text_of(done)
    [paragraph] = [line for line in text_of(done).splitlines() if "config.yaml: " in line]
    assert all(word in paragraph for word in words), paragraph
    assert again.files() == before


@pytest.mark.parametrize("name", ["config.yaml", "config/smoke.yaml", "config/full.yaml", "config/ppd.yaml"])
def test_shipped_configurations_are_planned_without_torch(clean: Work, name: str, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise RuntimeError('planning imports torch')\n")
    done = clean.snakemake("-n", "--configfile", name, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, text_of(done)
    assert done.stdout.count("rule align:") > 5


def test_the_full_experiment_has_ten_seeds_everywhere() -> None:
    assert all(len(block.seeds) >= 10 for block in grid.load(REPOSITORY / "config/full.yaml").config.grid.values())


def test_the_workflow_passes_its_linter(clean: Work) -> None:
    done = clean.snakemake("--lint")
    assert done.returncode == 0, text_of(done)


def test_the_copy_runs_its_own_package(clean: Work) -> None:
    """Else the tests above would look at another one."""
    for path in ("papa", "papa.cli"):
        done = clean.shell(sys.executable, "-c", f"import {path} as it; print(it.__file__)")
        assert Path(done.stdout.strip()).is_relative_to(clean.root)


def test_the_printed_schema_accepts_the_configuration_and_refuses_a_misspelling(clean: Work) -> None:
    done = clean.papa("schema")
    schema = json.loads(done.stdout)
    config = yaml.safe_load((clean.root / "config.yaml").read_text())
    jsonschema.validate(config, schema)
    jsonschema.validate(TINY, schema)
    for wrong in (
        {"confidense": 0.9},
        {"methods": {"papa": {"updatez": 2}}},
        {"methods": {"papa": {"labels": -8}}},
        {"tasks": {"digits": {"stepz": 3}}},
        {"measures": {"finall": 3}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(config | wrong, schema)


def test_doctor_finds_everything_in_place(clean: Work) -> None:
    done = clean.papa("doctor")
    assert done.returncode == 0, text_of(done)
    lines = done.stdout.splitlines()
    assert len(lines) >= 5 and all(line.startswith("ok ") for line in lines)
