"""The page is planned like any other result: where it is missing, and where what it shows, or its looks, changed."""

from __future__ import annotations

import shutil

from support.workplace import TINY, Work, text_of


def test_a_run_from_nothing_plans_the_page(clean: Work) -> None:
    rules = clean.planned("--configfile", "config/smoke.yaml").rules
    assert rules["page"] == 1 and rules["claims"] == 1


def test_a_page_that_is_missing_is_made_alone(again: Work) -> None:
    page = again.root / "results/index.html"
    before = page.read_bytes()
    page.unlink()
    assert set(again.planned().rules) == {"page", "all"}
    again.made("results/index.html")
    assert page.read_bytes() == before
    assert "Nothing to be done" in text_of(again.made("-n"))


def test_another_template_makes_the_page_alone(again: Work) -> None:
    again.replace("papa/paper/page.html", "What came out", "What was found")
    assert set(again.planned().rules) == {"page", "all"}


def test_the_page_is_made_again_where_a_setting_that_it_shows_changed(again: Work) -> None:
    """Of a method that the grid does not run."""
    again.configure(methods=TINY["methods"] | {"papa-weak-anchor": {"algorithm": "papa", "c_qpde": 0.5}})
    assert "page" in again.planned().rules and not again.planned().alignments


def test_what_a_page_lacks_is_named(again: Work) -> None:
    shutil.rmtree(again.root / "results/tables")
    done = again.papa("page")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "results/tables/T1.md alone: `papa table T1`" in done.stderr
