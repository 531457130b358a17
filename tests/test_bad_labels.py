"""Text of a configuration that a shell, a path, a wildcard or mathtext would take for something else, and settings that
no run can have: refused in one paragraph with the place, by every command, and nothing of it is executed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.command_line import Papa, align
from support.tiny import assert_paragraph

from papa.benchmark import grid
from papa.errors import SettingsError

Data = dict[str, Any]


def refused_everywhere(folder: Path, refused: Callable[..., str], papa: Papa, path: Path, *words: str) -> None:
    """By the reader, by the doctor, by the alignment; and nothing was made, executed or written on the way."""
    before = sorted(folder.rglob("*"))
    with pytest.raises(SettingsError) as caught:
        grid.load(path)
    assert_paragraph(str(caught.value), *words)
    assert_paragraph(refused("doctor", "--config", path), *words)
    assert_paragraph(refused(*align(path)), *words)
    assert sorted(folder.rglob("*")) == before and not Path("PWNED").exists()


# ---------------------------------------------------------------- labels

LABELS = [
    *(
        "$(touch PWNED)",
        "`touch PWNED`",
        "x;touch PWNED",
        "x|touch PWNED",
        "x>PWNED",
        "x\ntouch PWNED",
        "x&&touch PWNED",
    ),
    *("a b", " a", "a ", "a\tb", "a\u00a0b", "a\u2028b", "a\n", "\n", "\r\n", "a\x1bb"),
    *("a/b", "/a", "a\\b", "..", ".", "../../x", "~", "~root", "a:b", "C:x"),
    *("_a", "a$b_{$", "fkc{x}", "{task}", "{{x}}", "a^2", "a%sb", "$x$", "a*", "a?", "[ab]", "a,b", "a'b", 'a"b', "#a"),
    *("", "-h", "--config", "-", "+a", "=a", "é", "中文", "a" * 81),
]
PLACES: dict[str, Callable[[Data, str], Any]] = {
    "methods": lambda d, label: d["methods"].update({label: {"algorithm": "fkc", "labels": 2, "per_round": 2}}),
    "tasks": lambda d, label: d["tasks"].update({label: {"task": "gmm2d"}}),
    "users": lambda d, label: d.update(users={label: {"user": "linear", "flip": 0.1}}),
    "grid": lambda d, label: d["grid"].update({label: tiny.PLANE}),
    "measures_by_task": lambda d, label: d.update(measures_by_task={label: {"final": 8}}),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("label", LABELS, ids=ascii)
def test_labels_that_something_would_take_for_something_else(tmp_path: Path, place: str, label: str) -> None:
    data = tiny.config(tmp_path)
    PLACES[place](data, label)
    with pytest.raises(SettingsError) as caught:
        grid.load(tiny.write(tmp_path, data))
    assert_paragraph(str(caught.value), f"Invalid settings: {place}", "String should")


@pytest.mark.parametrize("place", PLACES)
def test_labels_of_letters_digits_and_a_few_marks_are_taken(tmp_path: Path, place: str) -> None:
    data = tiny.config(tmp_path)
    PLACES[place](data, "gmm2d" if place == "measures_by_task" else "A-b_c.2+x=1")
    assert len(grid.load(tiny.write(tmp_path, data))) == 4


@pytest.mark.parametrize(
    "label", ["$(touch PWNED)", "a b", "a/b", "a&b", "_a", "a$b_{$", "fkc{x}", "", "-h", "..", "a\nb"]
)
def test_such_labels_are_refused_by_every_command(
    tmp_path: Path,
    refused: Callable[..., str],
    papa: Papa,
    label: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    data = tiny.config(tmp_path)
    PLACES["methods"](data, label)
    data["grid"]["main"]["methods"] = ["base", label]
    path = tiny.write(tmp_path, data)
    refused_everywhere(tmp_path, refused, papa, path, "methods", "String should")


@pytest.mark.parametrize("axis", ["methods", "users"])
@pytest.mark.parametrize("label", ["$(touch PWNED)", "a b", "../x", "", "-h", "a\n"])
def test_labels_that_a_block_names(tmp_path: Path, axis: str, label: str) -> None:
    data = tiny.config(tmp_path)
    data["grid"]["main"][axis] = [label]
    with pytest.raises(SettingsError) as caught:
        grid.load(tiny.write(tmp_path, data))
    assert_paragraph(str(caught.value), f"grid.main.{axis}.0")


def test_labels_that_yaml_takes_for_something_else(tmp_path: Path) -> None:
    """`on`, `1.5` and `2026-01-01` are no text in YAML."""
    for label in ("on", "1", "1.5", "2026-01-01", "null", "[a]"):
        path = tiny.write(tmp_path, tiny.config(tmp_path))
        path.write_text(
            path.read_text(encoding="utf-8").replace("  fkc:", f"  {label}:\n    algorithm: fkc\n  fkc:", 1)
        )
        with pytest.raises(SettingsError) as caught:
            grid.load(path)
        assert_paragraph(str(caught.value))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: d["methods"].update(FKC={"algorithm": "fkc"}), ("methods", "fkc and FKC", "rename")),
        (lambda d: d["tasks"].update(GMM2D={"task": "gmm2d"}), ("tasks", "differ in case")),
        (lambda d: d.update(users={"a": {"user": "linear"}, "A": {"user": "linear"}}), ("users", "a and A")),
        (lambda d: d.update(users={"Linear": {"user": "linear"}}), ("Linear", "differ in case")),
    ],
    ids=["methods", "tasks", "users", "a user of the task"],
)
def test_labels_that_differ_in_case_only(
    tmp_path: Path, refused: Callable[..., str], papa: Papa, spoil: Callable[[Data], Any], words: tuple[str, ...]
) -> None:
    data = tiny.config(tmp_path)
    spoil(data)
    if "users" in data:
        data["grid"]["main"]["users"] = ["linear", *data["users"]]
    refused_everywhere(tmp_path, refused, papa, tiny.write(tmp_path, data), *words)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("results: a\nresults: b", "results"),
        ("methods: {fkc: {}, fkc: {}}", "fkc"),
        ("methods: {fkc: {labels: 8, labels: 9}}", "labels"),
        ("methods: {fkc: {surrogate: {lr: 1, lr: 2}}}", "lr"),
        ("tasks: {gmm2d: {steps: 2}, gmm2d: {steps: 3}}", "gmm2d"),
        ("users: {u: {user: linear}, u: {user: linear}}", "u"),
        ("grid: {main: {task: gmm2d}, main: {task: digits}}", "main"),
        ("grid: {main: {task: gmm2d, seeds: [0], seeds: [1]}}", "seeds"),
        ("measures: {final: 8, final: 9}", "final"),
        ('methods: {"fkc": {}, fkc: {}}', "fkc"),
        ("x: &x {lr: 1}\nmethods: {fkc: {<<: *x, labels: 8, labels: 9}}", "labels"),
    ],
)
def test_two_keys_of_one_name_at_every_level(
    tmp_path: Path, refused: Callable[..., str], papa: Papa, text: str, key: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text + "\n", encoding="utf-8")
    refused_everywhere(tmp_path, refused, papa, path, f"the key '{key}' stands there twice", "line", "rename one")


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize("key", ["results", "figures"])
@pytest.mark.parametrize(
    "name",
    [
        *("$(touch PWNED)", "a`b`", "a;b", "a|b", "a&b", "a>b", "{task}", "a*", "a?", "[a]", 'a"b', "a'b", "a!b"),
        *("a\\b", "a\nb", "a\tb", "\x00", "-h"),
        *("", " ", ".", "..", "./", "a/..", "/", "~", "~/", "~nobody-at-all/x"),
    ],
    ids=ascii,
)
def test_folders_that_something_would_take_for_something_else(tmp_path: Path, key: str, name: str) -> None:
    data = tiny.config(tmp_path) | {key: name}
    with pytest.raises(SettingsError) as caught:
        grid.load(tiny.write(tmp_path, data))
    assert_paragraph(str(caught.value))
    assert key in str(caught.value) or "YAML" in str(caught.value)  # YAML has no zero byte


@pytest.mark.parametrize("figures", ["results", "results/", "./results", "results/tables", "results/stamps"])
def test_figures_in_the_folder_of_results(tmp_path: Path, figures: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`results/F1.png` beside the runs harms nothing, where no task has that name."""
    monkeypatch.chdir(tmp_path)
    data = tiny.config(tmp_path) | {"results": "results", "figures": figures}
    assert grid.load(tiny.write(tmp_path, data)).config.figures == str(Path(figures))


@pytest.mark.parametrize("label", ["stamps", "logs", "benchmarks", "tables", "Tables"])
def test_a_task_may_not_be_called_like_a_folder_of_the_results(tmp_path: Path, label: str) -> None:
    data = tiny.config(tmp_path)
    data["tasks"][label] = {"task": "gmm2d"}
    with pytest.raises(SettingsError) as caught:
        grid.load(tiny.write(tmp_path, data))
    assert_paragraph(str(caught.value), f"tasks.{label}", "another label")


# ---------------------------------------------------------------- settings that no run can have

IMPOSSIBLE: list[tuple[str, Callable[[Data], Any], tuple[str, ...]]] = [
    ("no blocks", lambda d: d.update(grid={}), ("grid", "at least 1")),
    ("no seeds", lambda d: d["grid"]["main"].update(seeds=[]), ("grid.main.seeds", "at least 1")),
    ("no methods", lambda d: d["grid"]["main"].update(methods=[]), ("grid.main.methods", "at least 1")),
    ("no users", lambda d: d["grid"]["main"].update(users=[]), ("grid.main.users", "at least 1")),
    ("a seed that is a yes", lambda d: d["grid"]["main"].update(seeds=[True]), ("grid.main.seeds.0", "integer")),
    ("half a seed", lambda d: d["grid"]["main"].update(seeds=[1.5]), ("grid.main.seeds.0", "integer")),
    ("a whole seed as a fraction", lambda d: d["grid"]["main"].update(seeds=[1.0]), ("grid.main.seeds.0", "integer")),
    ("a seed in quotes", lambda d: d["grid"]["main"].update(seeds=["1"]), ("grid.main.seeds.0", "integer")),
    ("a huge seed", lambda d: d["grid"]["main"].update(seeds=[10**23]), ("grid.main.seeds.0", "less than")),
    ("a seed of 2^63", lambda d: d["grid"]["main"].update(seeds=[2**63]), ("grid.main.seeds.0", "less than")),
    ("a negative seed", lambda d: d["grid"]["main"].update(seeds=[-1]), ("grid.main.seeds.0", "greater")),
    ("seeds that are none", lambda d: d["grid"]["main"].update(seeds=[None]), ("grid.main.seeds.0", "integer")),
    ("seeds that are no list", lambda d: d["grid"]["main"].update(seeds=3), ("grid.main.seeds", "list")),
    ("a seed twice", lambda d: d["grid"]["main"].update(seeds=[1, 0, 1]), ("grid.main.seeds", "1 stands there twice")),
    ("a method twice", lambda d: d["grid"]["main"].update(methods=["base", "base"]), ("grid.main.methods", "base")),
    ("a user twice", lambda d: d["grid"]["main"].update(users=["linear", "linear"]), ("grid.main.users", "linear")),
    ("infinite beta", lambda d: d["methods"]["fkc"].update(beta_max=float("inf")), ("methods.fkc.beta_max", "finite")),
    ("beta that is no number", lambda d: d["methods"]["fkc"].update(beta_max=float("nan")), ("methods.fkc.beta_max",)),
    ("a beta beyond reason", lambda d: d["methods"]["fkc"].update(beta_max=1e308), ("methods.fkc.beta_max", "less")),
    ("a rate that is a yes", lambda d: d["methods"]["papa"].update(lr=True), ("methods.papa: lr", "yes or no")),
    ("a rate of nothing", lambda d: d["methods"]["papa"].update(lr=0), ("methods.papa.lr", "greater")),
    ("an infinite rate", lambda d: d["methods"]["papa"].update(lr=float("inf")), ("methods.papa.lr", "finite")),
    ("a rate in words", lambda d: d["methods"]["papa"].update(lr="fast"), ("methods.papa.lr", "number")),
    ("a budget that is a yes", lambda d: d["methods"]["fkc"].update(labels=True), ("methods.fkc: labels", "yes or no")),
    ("a huge budget", lambda d: d["methods"]["fkc"].update(labels=10**30), ("methods.fkc.labels", "less")),
    (
        "a nested yes",
        lambda d: d["methods"]["fkc"].update(surrogate={"lr": True}),
        ("methods.fkc.surrogate", "yes or no"),
    ),
    ("a false base", lambda d: d["methods"].update(base={"algorithm": "papa"}), ("methods.base", "algorithm: papa")),
    ("papa on the plane", lambda d: d["grid"]["main"].update(methods=["papa"]), ("grid.main.methods", "papa", "gmm2d")),
    ("noise on a user of the task", lambda d: d.update(users={"likes-3": {"flip": 1.0}}), ("users.likes-3", "label")),
    ("a user without a taste", lambda d: d.update(users={"u": {"flip": 1.0}}), ("users.u", "a kind and a taste")),
    ("a user of nothing", lambda d: d.update(users={"u": {}}), ("users.u", "a kind and a taste")),
    (
        "a user of the task again",
        lambda d: d.update(users={"linear": {"user": "quadratic"}}),
        ("users.linear", "another label"),
    ),
    ("a user of itself", lambda d: d.update(users={"u": {"user": "u"}}), ("users.u", "itself")),
    (
        "users in a circle",
        lambda d: d.update(users={"u": {"user": "v"}, "v": {"user": "u"}}),
        ("users.", "itself"),
    ),
    ("a user that is nobody", lambda d: d.update(users={"u": None}), ("users.u",)),
    ("a kind that is none", lambda d: d.update(users={"u": {"kind": "clases"}}), ("users.u", "'classes'")),
    ("an infinite flip", lambda d: d.update(users={"u": {"user": "linear", "flip": float("inf")}}), ("users.u.flip",)),
    (
        "noise that is a yes",
        lambda d: d.update(users={"u": {"user": "linear", "flip": True}}),
        ("users.u: flip", "yes"),
    ),
    ("a subset of one", lambda d: d["measures"].update(kid_subset=1), ("measures.kid_subset", "greater", "2")),
    (
        "a subset of one, of a task",
        lambda d: d.update(measures_by_task={"gmm2d": {"kid_subset": 1}}),
        ("measures_by_task.gmm2d.kid_subset", "greater"),
    ),
    ("no threshold", lambda d: d.update(confidence=1.0), ("confidence", "less than 1")),
    ("a level that is no number", lambda d: d.update(confidence=float("nan")), ("confidence", "finite")),
    ("a root that is a yes", lambda d: d.update(root_seed=True), ("root_seed", "yes or no")),
    ("half a root", lambda d: d.update(root_seed=1.5), ("root_seed", "integer")),
    ("a device with a tail", lambda d: d.update(device="cpu\n"), ("device", "pattern")),
    ("steps of nothing", lambda d: d["tasks"]["gmm2d"].update(steps=0), ("tasks.gmm2d.steps", "greater")),
    (
        "infinite noise",
        lambda d: d["tasks"]["gmm2d"].update(sigma_max=float("inf")),
        ("tasks.gmm2d.sigma_max", "finite"),
    ),
    ("settings that are none", lambda d: d["methods"].update(fkc=None), ("methods.fkc", "dictionary")),
    ("settings that are a list", lambda d: d["methods"].update(fkc=["labels"]), ("methods.fkc", "dictionary")),
    ("an algorithm that is a list", lambda d: d["methods"].update(x={"algorithm": ["fkc"]}), ("methods.x", "fkc")),
]


@pytest.mark.parametrize(("spoil", "words"), [case[1:] for case in IMPOSSIBLE], ids=[case[0] for case in IMPOSSIBLE])
def test_settings_that_no_run_can_have(
    tmp_path: Path, refused: Callable[..., str], papa: Papa, spoil: Callable[[Data], Any], words: tuple[str, ...]
) -> None:
    data = tiny.config(tmp_path)
    spoil(data)
    refused_everywhere(tmp_path, refused, papa, tiny.write(tmp_path, data), *words)


@pytest.mark.parametrize("key", ["mesures", "method", "gird", "resluts", "zzz"])
def test_an_unknown_key_at_the_top_is_named_and_the_file_is_not_printed(tmp_path: Path, key: str) -> None:
    near = {"mesures": "measures", "method": "methods", "gird": "grid", "resluts": "results"}
    with pytest.raises(SettingsError) as caught:
        grid.load(tiny.write(tmp_path, tiny.config(tmp_path) | {key: {"final": 7654321}}))
    text = str(caught.value)
    assert_paragraph(
        text, f"Invalid settings: unknown setting '{key}'", f"'{near[key]}'" if key in near else "measures"
    )
    assert "7654321" not in text and "particles" not in text and len(text) < 300


# ---------------------------------------------------------------- files that extend others


def write_files(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / f"{next(reversed(texts))}.yaml"


PARENT = """
root_seed: 5
measures: {final: 8, served: 4, per_round: 4, base: 16}
measures_by_task: {gmm2d: {final: 4}}
tasks: {gmm2d: {steps: 5}}
methods: {base: {labels: 4, per_round: 2}, fkc: {labels: 4, per_round: 2, particles: 6}}
users: {noisy: {user: linear, flip: 0.1}}
grid: {main: {task: gmm2d, methods: [base, fkc], users: [linear], seeds: [0]}}
"""


def test_a_file_that_extends_another_says_only_what_is_new(tmp_path: Path) -> None:
    child = """
extends: parent.yaml
root_seed: 6
measures: {final: 9}
measures_by_task: {plane: {final: 3}}
tasks: {plane: {task: gmm2d, steps: 7}}
methods: {fkc-b9: {algorithm: fkc, labels: 4, per_round: 2, beta_max: 9}}
users: {noisier: {user: linear, flip: 0.2}}
grid_also: {more: {task: plane, methods: [fkc-b9], users: [noisier, noisy], seeds: [3]}}
"""
    found = grid.load(write_files(tmp_path, parent=PARENT, child=child))
    assert set(found.specs) == {
        ("gmm2d", "base", "linear", 0),
        ("gmm2d", "fkc", "linear", 0),
        ("plane", "fkc-b9", "noisier", 3),
        ("plane", "fkc-b9", "noisy", 3),
    }
    assert found.config.root_seed == 6
    assert (found.measures("gmm2d").final, found.measures("plane").final, found.measures("plane").base) == (4, 3, 16)
    assert (found.tasks["gmm2d"].settings.steps, found.tasks["plane"].settings.steps) == (5, 7)
    alone = grid.load(write_files(tmp_path, parent=PARENT.replace("root_seed: 5", "root_seed: 6")))
    axes = "gmm2d", "fkc", "linear", 0
    assert found.specs[axes].key == alone.specs[axes].key, "a method added beside them reruns none"


def test_an_entry_of_the_same_label_replaces_that_of_the_other_file(tmp_path: Path) -> None:
    child = "extends: parent.yaml\nmethods: {fkc: {labels: 2, per_round: 2}}\n"
    found = grid.load(write_files(tmp_path, parent=PARENT, child=child))
    settings = found.methods["fkc"].settings.model_dump()
    assert settings["labels"] == 2 and settings["particles"] != 6, "an entry is one thing"
    assert found.methods["base"].settings.labels == 4


def test_a_grid_replaces_the_other_grid(tmp_path: Path) -> None:
    child = "extends: parent.yaml\ngrid: {only: {task: gmm2d, methods: [base], users: [noisy], seeds: [2]}}\n"
    assert set(grid.load(write_files(tmp_path, parent=PARENT, child=child)).specs) == {("gmm2d", "base", "noisy", 2)}


def test_files_extend_each_other_over_several_steps_and_folders(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write_files(tmp_path, parent=PARENT)
    write_files(tmp_path / "sub", middle="extends: ../parent.yaml\nmethods: {best_of_n: {labels: 4, per_round: 2}}\n")
    block = "{task: gmm2d, methods: [fkc], users: [linear], seeds: [1]}"
    last = write_files(tmp_path, last=f"extends: sub/middle.yaml\ngrid_also: {{last: {block}}}\n")
    found = grid.load(last)
    assert set(found.methods) == {"base", "fkc", "best_of_n"} and len(found) == 3


@pytest.mark.parametrize(
    ("child", "words"),
    [
        ("extends: parent.yaml\ngrid_also: {main: {task: gmm2d}}", ("grid_also", "main", "rename")),
        ("extends: parent.yaml\ngrid_also: [main]", ("grid_also",)),
        ("grid_also: {more: {task: gmm2d}}", ("grid_also", "grid")),
        ("extends: [parent.yaml]", ("extends",)),
        ("extends: {a: b}", ("extends",)),
        ("extends: .", ("extends",)),
        ("extends: child.yaml", ("extends itself",)),
        ("extends: parent.yaml\nmethods: [fkc]", ("methods", "dictionary")),
        ("extends: parent.yaml\nmethods: {'$(touch PWNED)': {algorithm: fkc}}", ("methods", "String should")),
        ("extends: ''", ("extends",)),
    ],
)
def test_files_that_extend_wrongly(
    tmp_path: Path, refused: Callable[..., str], papa: Papa, child: str, words: tuple[str, ...]
) -> None:
    path = write_files(tmp_path, parent=PARENT, child=child)
    refused_everywhere(tmp_path, refused, papa, path, *words)
