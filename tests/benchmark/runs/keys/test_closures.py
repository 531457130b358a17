"""What a source imports, and what is read besides."""

from __future__ import annotations

import ast
from importlib.metadata import packages_distributions
from pathlib import Path

from support.keys import SMC, forget, imported

from papa.benchmark import metrics, tasks, users
from papa.benchmark.machine import versions
from papa.benchmark.runs import key as provenance
from papa.benchmark.runs.key import import_closure, module_file
from papa.methods import METHODS, declaration


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


def test_the_core_never_imports_snakemake_and_smc_no_diffusers() -> None:
    for file in provenance.PACKAGE.rglob("*.py"):
        named = imported(file)
        assert "snakemake" not in named, file
        if file.parent.name == "smc":
            assert "diffusers" not in named, file
