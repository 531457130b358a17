"""Bad input: a paragraph that says what to do, an exit code that is not 0, and nothing finished lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from tiny import assert_paragraph

from papa import cli, grid, provenance
from papa.errors import SettingsError
from papa.registry import METRICS, find
from papa.tasks import artefacts


def state_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder, with its content and the time of its last change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


Papa = Callable[..., tuple[int, str]]


@pytest.fixture
def papa(capsys: pytest.CaptureFixture[str]) -> Papa:
    """Run the command line: (exit code, what it said on standard error)."""

    def run(*argv: str) -> tuple[int, str]:
        capsys.readouterr()
        try:
            code = cli.main([str(part) for part in argv])
        except SystemExit as stopped:  # argparse
            code = int(stopped.code or 0)
        return code, capsys.readouterr().err

    return run


@pytest.fixture
def refused(papa: Papa) -> Callable[..., str]:
    """Run a command that must fail; returns the message, which is one paragraph."""

    def run(*argv: str, words: tuple[str, ...] = ()) -> str:
        code, said = papa(*argv)
        assert code != 0
        message = said.strip().splitlines()[-1] if said.startswith("device:") else said
        assert_paragraph(message, *words)
        return message

    return run


@pytest.fixture
def finished(tmp_path: Path, papa: Papa, small_blocks: None) -> tuple[Path, Path]:
    """A configuration whose runs are done, scored and collected: (configuration, results)."""
    path = tiny.write(tmp_path, tiny.config(tmp_path))
    assert papa("base", "--config", path, "--task", "gmm2d", "--seeds", "0", "1")[0] == 0
    for method in tiny.PLANE["methods"]:
        assert papa("align", "--config", path, "--task", "gmm2d", "--method", method, "--user", "linear")[0] == 0
    assert papa("score", "--config", path)[0] == 0
    assert papa("collect", "--config", path)[0] == 0
    return path, tmp_path / "results"


def align(path: Path, **axes: str) -> list[str]:
    found = {"task": "gmm2d", "method": "base", "user": "linear"} | axes
    return ["align", "--config", str(path), *(part for name, value in found.items() for part in (f"--{name}", value))]


# ---------------------------------------------------------------- settings

SPOILED: list[tuple[str, Callable[[dict[str, Any]], Any], tuple[str, ...]]] = [
    ("top-level", lambda d: d.update(mesures={}), ("mesures", "'measures'")),
    ("in a method", lambda d: d["methods"]["papa"].update(c_qdpe=1), ("methods.papa", "c_qdpe", "'c_qpde'")),
    ("in the surrogate", lambda d: d["methods"]["fkc"].update(surrogate={"epoch": 1}), ("surrogate", "'epochs'")),
    ("of another method", lambda d: d["methods"]["papa"].update(particles=4), ("methods.papa", "'particles'")),
    ("in a task", lambda d: d["tasks"]["digits"].update(step=3), ("tasks.digits", "'steps'")),
    ("in a block", lambda d: d["grid"]["main"].update(seed=[0]), ("grid.main", "'seeds'")),
    ("in the measures", lambda d: d["measures"].update(finals=3), ("measures", "'final'")),
    ("in a user", lambda d: d.update(users={"u": {"flips": 0.1}}), ("users.u", "'flip'")),
    ("negative budget", lambda d: d["methods"]["fkc"].update(labels=-8), ("methods.fkc.labels", "-8", "greater")),
    ("budget of nothing", lambda d: d["methods"]["fkc"].update(labels=0), ("methods.fkc.labels", "greater")),
    ("budget in words", lambda d: d["methods"]["fkc"].update(labels="many"), ("methods.fkc.labels", "integer")),
    ("negative seed", lambda d: d["grid"]["main"].update(seeds=[-1]), ("grid.main.seeds", "greater")),
    ("negative samples", lambda d: d["measures"].update(final=-1), ("measures.final", "greater")),
    ("negative rate", lambda d: d["methods"]["papa"].update(lr=-1e-3), ("methods.papa.lr", "greater")),
    ("probability", lambda d: d.update(users={"u": {"missing": 1.5}}), ("users.u.missing", "less")),
    ("unknown choice", lambda d: d["methods"]["fkc"].update(resampling="multinomial"), ("resampling", "systematic")),
    ("wrong form", lambda d: d["methods"]["fkc"].update(weights="continuous"), ("methods.fkc", "gradient: through")),
    ("unknown task", lambda d: d["grid"]["main"].update(task="gmm2"), ("task 'gmm2'", "'gmm2d'")),
    ("settings of an unknown task", lambda d: d["tasks"].update(digit={}), ("task 'digit'", "'digits'")),
    ("unknown method", lambda d: d["grid"]["main"].update(methods=["fck"]), ("grid.main.methods", "'fck'", "'fkc'")),
    ("unknown algorithm", lambda d: d["methods"].update(x={"algorithm": "pappa"}), ("'pappa'", "'papa'")),
    ("unknown user", lambda d: d["grid"]["main"].update(users=["liner"]), ("grid.main.users", "'liner'", "'linear'")),
    ("user of another task", lambda d: d["grid"]["main"].update(users=["likes-3"]), ("likes-3", "gmm2d")),
    ("no methods", lambda d: d.pop("methods"), ("methods", "required")),
    ("no grid", lambda d: d.pop("grid"), ("grid", "required")),
    ("device", lambda d: d.update(device="gpu"), ("device", "cuda")),
]


@pytest.mark.parametrize(("spoil", "words"), [case[1:] for case in SPOILED], ids=[case[0] for case in SPOILED])
def test_invalid_settings_are_named_with_their_place(
    tmp_path: Path, refused: Callable[..., str], spoil: Callable[[dict[str, Any]], Any], words: tuple[str, ...]
) -> None:
    data = tiny.config(tmp_path)
    grid.load(tiny.write(tmp_path, data))  # sound before
    spoil(data)
    path = tiny.write(tmp_path, data)
    with pytest.raises(SettingsError) as caught:
        grid.load(path)
    assert_paragraph(str(caught.value), *words)
    refused(*align(path), words=words)
    assert not (tmp_path / "results").exists()


def test_several_mistakes_are_all_named(tmp_path: Path) -> None:
    data = tiny.config(tmp_path) | {"seeds_per_job": 0, "confidence": 2}
    with pytest.raises(SettingsError, match=r"confidence.*less than 1") as caught:
        grid.load(tiny.write(tmp_path, data))
    assert "seeds_per_job" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("results: [unclosed", ("not valid YAML", "line")),
        ("a: b: c", ("not valid YAML",)),
        ("\t- x", ("not valid YAML",)),
        ("", ("holds no settings",)),
        ("just words", ("holds no settings",)),
        ("- a\n- list", ("holds no settings",)),
        ("results: \x00", ("not valid YAML",)),
        ("extends: config.yaml\nresults: x", ("extends",)),
        ("extends: nowhere.yaml\nresults: x", ("nowhere.yaml",)),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, refused: Callable[..., str], text: str, words: tuple) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    refused(*align(path), words=words)


def test_bytes_that_are_no_text(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"results: \xff\xfe")
    refused(*align(path), words=("not valid YAML",))


def test_a_missing_configuration(tmp_path: Path, refused: Callable[..., str]) -> None:
    refused(*align(tmp_path / "nowhere.yaml"), words=("nowhere.yaml", "config.yaml"))


@pytest.mark.parametrize("text", ["{device: cpu}", "[1]", '"cpu"', "{"])
def test_an_override_that_is_no_json_object(tmp_path: Path, refused: Callable[..., str], text: str) -> None:
    path = tiny.write(tmp_path, tiny.config(tmp_path))
    refused(*align(path), "--override", text, words=("--override", "JSON"))


def test_a_misspelled_override_is_refused_and_a_right_one_wins(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tiny.write(tmp_path, tiny.config(tmp_path))
    refused(*align(path), "--override", json.dumps({"devise": "cpu"}), words=("'device'",))
    assert grid.load(path, {"root_seed": 9}).config.root_seed == 9


# ---------------------------------------------------------------- names on the command line


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"task": "gmm2"}, ("task 'gmm2'", "'gmm2d'")),
        ({"method": "bas"}, ("method 'bas'", "'base'")),
        ({"method": "papa"}, ("method 'papa'", "base, fkc")),
        ({"user": "liner"}, ("user 'liner'", "'linear'")),
    ],
)
def test_unknown_runs_are_named(tmp_path: Path, refused: Callable[..., str], axes: dict, words: tuple) -> None:
    refused(*align(tiny.write(tmp_path, tiny.config(tmp_path)), **axes), words=words)


def test_seeds_that_are_not_in_the_grid(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tiny.write(tmp_path, tiny.config(tmp_path))
    refused(*align(path), "--seeds", "7", words=("seeds=[7]", "grid"))


@pytest.mark.parametrize("task", ["gmm2", "digits"])
def test_base_samples_of_a_task_that_is_not_in_the_grid(tmp_path: Path, refused: Callable[..., str], task: str) -> None:
    path = tiny.write(tmp_path, tiny.config(tmp_path))
    refused(
        "base",
        "--config",
        path,
        "--task",
        task,
        "--seeds",
        "0",
        words=(f"'{task}'", "'gmm2d'" if task == "gmm2" else "gmm2d"),
    )


def test_preparing_an_unknown_task(refused: Callable[..., str]) -> None:
    refused("prepare", "--task", "digit", words=("'digit'", "'digits'"))


def test_a_task_without_artefacts_cannot_be_retrained(refused: Callable[..., str]) -> None:
    refused("prepare", "--task", "gmm2d", "--retrain", words=("nothing to retrain",))


def test_unknown_tables_figures_and_metrics(finished: tuple[Path, Path], refused: Callable[..., str]) -> None:
    path, results = finished
    before = state_of(results)
    refused("table", "T11", "--config", path, words=("unknown table 'T11'", "'T1'"))
    refused("plot", "F11", "--config", path, words=("unknown figure 'F11'", "'F1'"))
    with pytest.raises(KeyError, match=r"unknown metric 'diversty'; did you mean 'diversity'"):
        find("metric", METRICS, "diversty")
    assert state_of(results) == before


@pytest.mark.parametrize("argv", [[], ["allign"], ["align"], ["align", "--task", "gmm2d"], ["table"]])
def test_a_command_that_is_none(papa: Papa, argv: list[str]) -> None:
    code, said = papa(*argv)
    assert code != 0 and "usage: papa" in said


@pytest.mark.parametrize(
    "argv", [["align", "--threads", "0"], ["score", "--parts", "0"], ["score", "--part", "2", "--parts", "2"]]
)
def test_numbers_that_make_no_sense(tmp_path: Path, papa: Papa, argv: list[str]) -> None:
    path = tiny.write(tmp_path, tiny.config(tmp_path))
    axes = ["--task", "gmm2d", "--method", "base", "--user", "linear"]
    code, said = papa(argv[0], "--config", path, *axes, *argv[1:])
    assert code != 0 and argv[1] in said and "Traceback" not in said


# ---------------------------------------------------------------- devices


def test_cuda_that_is_asked_for_and_absent(
    tmp_path: Path, refused: Callable[..., str], papa: Papa, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = tiny.write(tmp_path, tiny.config(tmp_path) | {"device": "cuda:0"})
    refused(*align(path), words=("cuda:0", "no CUDA device", "device: auto", "nvidia-smi"))
    assert not (tmp_path / "results").exists()
    assert papa("doctor", "--config", path)[0] != 0


@pytest.mark.usefixtures("small_blocks")
def test_auto_falls_back_to_the_cpu_and_says_so(tmp_path: Path, papa: Papa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, said = papa(*align(tiny.write(tmp_path, tiny.config(tmp_path) | {"device": "auto"})))
    assert code == 0 and "device: auto -> cpu" in said


# ---------------------------------------------------------------- damaged records


def test_truncated_samples_stop_score_and_collect_and_the_other_runs_stay(
    finished: tuple[Path, Path], refused: Callable[..., str], papa: Papa
) -> None:
    path, results = finished
    hurt = results / "gmm2d" / "runs" / "fkc" / "linear" / "seed1"
    file = hurt / "samples.npz"
    file.write_bytes(file.read_bytes()[:-50])
    before = state_of(results)
    refused("collect", "--config", path, words=("samples.npz", "truncated", "delete the folder"))
    (hurt / "metrics.json").unlink()
    refused("score", "--config", path, words=("samples.npz", "truncated"))
    after = state_of(results)
    assert set(before) - set(after) == {str((hurt / "metrics.json").relative_to(results))}
    assert all(before[name] == after[name] for name in after), "nothing else was touched, the long table included"

    # What the message says helps: the run is made again, and only that one.
    code, said = papa(*align(path, method="fkc"))
    assert code == 0 and said.count("already there") == 1
    assert papa("score", "--config", path)[0] == papa("collect", "--config", path)[0] == 0
    again = state_of(results)
    same = {name for name in before if before[name] == again.get(name)}
    assert {name for name in before if not name.startswith("gmm2d/runs/fkc/linear/seed1")} - same == {"runs.parquet"}


def test_truncated_base_samples_are_noticed(finished: tuple[Path, Path], refused: Callable[..., str]) -> None:
    path, results = finished
    file = results / "gmm2d" / "base" / "seed0" / "samples.npz"
    file.write_bytes(file.read_bytes()[:100])
    for score in results.rglob("metrics.json"):
        score.unlink()
    refused("score", "--config", path, words=("base/seed0/samples.npz", "truncated"))


def test_a_run_of_other_settings_is_not_collected(finished: tuple[Path, Path], refused: Callable[..., str]) -> None:
    path, _ = finished
    data = tiny.config(path.parent)
    data["methods"]["fkc"]["beta_max"] = 7
    refused("collect", "--config", tiny.write(path.parent, data), words=("other settings", "again"))


def test_damaged_figures_of_a_run_are_noticed(finished: tuple[Path, Path], refused: Callable[..., str]) -> None:
    path, results = finished
    file = next(results.rglob("metrics.json"))
    file.write_text(file.read_text()[:40])
    refused("collect", "--config", path, words=("metrics.json", "damaged"))
    file.unlink()
    refused("collect", "--config", path, words=("no up-to-date figures", "papa score"))


@pytest.mark.parametrize("command", [("table", "T1"), ("plot", "F1"), ("claims",)])
def test_a_long_table_that_is_missing_or_damaged(
    finished: tuple[Path, Path], refused: Callable[..., str], command: tuple[str, ...]
) -> None:
    path, results = finished
    table = results / "runs.parquet"
    table.write_bytes(table.read_bytes()[:200])
    refused(*command, "--config", path, words=("runs.parquet", "papa collect"))
    table.unlink()
    refused(*command, "--config", path, words=("runs.parquet", "papa collect"))


def test_what_is_not_there_yet_is_said(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tiny.write(tmp_path, tiny.config(tmp_path))
    refused("score", "--config", path, words=("no record", "run the alignment"))
    refused("collect", "--config", path, words=("no record", "run the alignment"))


# ---------------------------------------------------------------- artefacts


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the digits artefacts in the package's place."""
    package = tmp_path / "package"
    shutil.copytree(provenance.PACKAGE / "data" / "digits", package / "data" / "digits")
    monkeypatch.setattr(artefacts, "PACKAGE", package)
    artefacts.verified_card.cache_clear()
    yield package / "data" / "digits"
    artefacts.verified_card.cache_clear()


WEIGHTS = ["gold.safetensors", "features.safetensors", "unet/diffusion_pytorch_model.safetensors", "unet/config.json"]


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_wrong_sha256_of_a_weight_file(tmp_path: Path, data: Path, refused: Callable[..., str], name: str) -> None:
    contents = bytearray((data / name).read_bytes())
    contents[-1] ^= 1
    (data / name).write_bytes(contents)
    path = tiny.write(tmp_path, tiny.config(tmp_path, tiny.DIGITS))
    words = (name, "sha256", "model card", "reinstalling papa", "--retrain")
    refused("prepare", "--task", "digits", words=words)
    refused(*align(path, task="digits", user="likes-1479"), words=words)
    assert not (tmp_path / "results").exists()


def test_a_missing_weight_file(tmp_path: Path, data: Path, refused: Callable[..., str], papa: Papa) -> None:
    (data / "gold.safetensors").unlink()
    path = tiny.write(tmp_path, tiny.config(tmp_path, tiny.DIGITS))
    refused("prepare", "--task", "digits", words=("gold.safetensors is missing", "git checkout", "--retrain"))
    refused(*align(path, task="digits", user="likes-1479"), words=("gold.safetensors is missing",))
    code, said = papa("doctor", "--config", path)
    assert code != 0 and "stand in the way" in said


@pytest.mark.parametrize("text", [None, "", '{"sha256": {'])
def test_a_missing_or_damaged_model_card(data: Path, refused: Callable[..., str], text: str | None) -> None:
    (data / "card.json").unlink()
    if text is not None:
        (data / "card.json").write_text(text)
    refused("prepare", "--task", "digits", words=("card.json", "--retrain"))


def test_sound_artefacts_pass(data: Path, papa: Papa) -> None:
    assert papa("prepare", "--task", "digits")[0] == 0


# ---------------------------------------------------------------- places that cannot be written


@pytest.mark.usefixtures("small_blocks")
def test_results_where_nothing_can_be_written(tmp_path: Path, refused: Callable[..., str]) -> None:
    """Below a regular file, where not even root may write."""
    (tmp_path / "file").write_text("")
    path = tiny.write(tmp_path, tiny.config(tmp_path) | {"results": str(tmp_path / "file" / "results")})
    for command in (["base", "--config", str(path), "--task", "gmm2d", "--seeds", "0"], align(path)):
        said = refused_last_line(refused, command)
        assert_paragraph(said, "cannot write", "give write permission", "`results:`")


def refused_last_line(refused: Callable[..., str], command: list[str]) -> str:
    """The error itself, after the lines of progress."""
    return refused(*command).strip().splitlines()[-1]


@pytest.mark.parametrize(
    "command", [("table", "T1"), ("plot", "F1"), ("claims",), ("collect",), ("score", "--stamp", "STAMP")]
)
def test_outputs_where_nothing_can_be_written(
    finished: tuple[Path, Path],
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: tuple[str, ...],
) -> None:
    path, results = finished
    (tmp_path / "file").write_text("")
    (results / "tables").write_text("a file where a folder is wanted")
    before = state_of(results)
    data = tiny.config(tmp_path) | {"figures": str(tmp_path / "file" / "figures")}
    path = tiny.write(tmp_path, data)
    if command[0] in ("collect", "claims"):  # these write beside the runs
        monkeypatch.setattr("os.replace", deny)
        monkeypatch.setattr(Path, "replace", deny)
    argv = [part.replace("STAMP", str(tmp_path / "file" / "stamp")) for part in command]
    said = refused_last_line(refused, [argv[0], *argv[1:], "--config", str(path)])
    assert_paragraph(said, "write")
    monkeypatch.undo()
    assert {name: found for name, found in state_of(results).items() if name in before} == before


def deny(*args: Any, **kwargs: Any) -> None:
    raise PermissionError(13, "Permission denied")


def test_the_doctor_finds_the_same_before_anything_starts(tmp_path: Path, papa: Papa, capsys) -> None:
    (tmp_path / "file").write_text("")
    sound = tiny.write(tmp_path, tiny.config(tmp_path))
    assert papa("doctor", "--config", sound)[0] == 0
    broken = tiny.write(tmp_path, tiny.config(tmp_path) | {"results": str(tmp_path / "file" / "results")})
    code, said = papa("doctor", "--config", broken)
    assert code != 0 and "1 thing(s)" in said


# ---------------------------------------------------------------- a job that fails


@pytest.mark.usefixtures("small_blocks")
def test_the_finished_seeds_of_a_failed_job_stay_and_are_not_made_again(
    tmp_path: Path, papa: Papa, monkeypatch: pytest.MonkeyPatch
) -> None:
    from papa.methods.fkc import Fkc

    path, tell, told = tiny.write(tmp_path, tiny.config(tmp_path)), Fkc.tell, 0

    def fails_in_the_second_run(self: Fkc, *args: Any) -> None:
        nonlocal told
        told += 1
        if told == 5:
            raise RuntimeError("a bug, the power, anything")
        tell(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Fkc, "tell", fails_in_the_second_run)
        with pytest.raises(RuntimeError, match="anything"):
            papa(*align(path, method="fkc"))
    runs = tmp_path / "results" / "gmm2d" / "runs" / "fkc" / "linear"
    assert [folder.name for folder in runs.iterdir()] == ["seed0"]
    before = state_of(runs / "seed0")
    code, said = papa(*align(path, method="fkc"))
    assert code == 0 and "seed0: already there" in said and (runs / "seed1" / "run.json").is_file()
    assert state_of(runs / "seed0") == before
