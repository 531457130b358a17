"""Run records: whole or not there, and every damage noticed."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from support import tiny
from support.command_line import Papa
from support.pixels import META
from support.tiny import assert_paragraph

from papa.benchmark.grid import load
from papa.benchmark.runs.record import (
    SCHEMA_VERSION,
    Evaluations,
    Meta,
    arrays_of,
    digest_of,
    is_complete,
    jsonl_bytes,
    npz_bytes,
    read_record,
    write_record,
)
from papa.benchmark.runs.scores import read_scores, score_key, write_scores
from papa.errors import PapaError, RecordError
from papa.files import write_atomic, write_json

ARRAYS = {"final": np.arange(600, dtype=np.float32).reshape(2, 300), "shown": np.zeros(3)}


def put(folder: Path, key: str = "k", **meta: Any) -> Path:
    about = META.model_copy(update={"key": key, **meta})
    write_record(folder, {"samples.npz": npz_bytes(ARRAYS), "rounds.csv": b"round\n1\n"}, about)
    return folder


def verify(folder: Path, key: str | None = None) -> Meta:
    return read_record(folder, key).verify().meta


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.parent.iterdir() if path != folder)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return put(tmp_path / "runs" / "seed0")


# ---------------------------------------------------------------- sound records


def test_a_record_says_what_it_is_and_comes_back(record: Path) -> None:
    meta = verify(record, "k")
    assert meta.schema_version == SCHEMA_VERSION and set(meta.files) == {"samples.npz", "rounds.csv"}
    for name, values in read_record(record).arrays().items():
        np.testing.assert_array_equal(values, ARRAYS[name])
    assert is_complete(record, "k") and not is_complete(record, "other")
    assert leftovers(record) == []


def test_a_new_record_takes_the_place_of_the_old_one(record: Path) -> None:
    (record / "metrics.json").write_text("figures of the old run")
    put(record, "new", labels=7)
    assert verify(record, "new").labels == 7
    assert not (record / "metrics.json").exists() and leftovers(record) == []


def test_the_same_arrays_are_the_same_bytes() -> None:
    first = npz_bytes(ARRAYS)
    time.sleep(0.01)
    assert npz_bytes(ARRAYS) == first


def test_json_is_sorted_and_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [1]})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"a": [1], "b": 1} and text.index('"a"') < text.index('"b"') and text.endswith("\n")


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_truncated_file_is_noticed(record: Path, keep: int) -> None:
    file = record / "samples.npz"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(RecordError) as caught:
        verify(record, "k")
    assert_paragraph(str(caught.value), "samples.npz", "truncated or damaged", "run")
    assert not is_complete(record, "k")
    with pytest.raises(RecordError, match="truncated or damaged"):
        read_record(record).arrays()


def test_one_changed_byte_is_noticed(record: Path) -> None:
    data = bytearray((record / "samples.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (record / "samples.npz").write_bytes(data)
    with pytest.raises(RecordError, match="truncated or damaged"):
        verify(record)


def test_a_missing_file_is_noticed(record: Path) -> None:
    (record / "rounds.csv").unlink()
    with pytest.raises(RecordError, match=r"rounds\.csv is missing"):
        verify(record)


def test_another_key_is_noticed_and_both_are_named(record: Path) -> None:
    with pytest.raises(RecordError) as caught:
        verify(record, "wanted-key")
    assert_paragraph(str(caught.value), "key k", "wanted-key", "again")


def test_no_record_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no record"):
        verify(tmp_path / "nowhere")
    assert not is_complete(tmp_path / "nowhere", "k")


@pytest.mark.parametrize("text", ["", "{", "\x00\x01", '{"key": "k", "fi'])
def test_an_unreadable_run_json_is_noticed(record: Path, text: str) -> None:
    (record / "run.json").write_text(text)
    with pytest.raises(RecordError, match=r"run\.json cannot be read"):
        read_record(record)
    assert not is_complete(record, "k")


def test_pickles_are_neither_written_nor_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pickle"):
        npz_bytes({"a": np.array([{"code": 1}], dtype=object)})
    np.savez(tmp_path / "p.npz", a=np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(RecordError, match="damaged"):
        arrays_of((tmp_path / "p.npz").read_bytes(), tmp_path / "p.npz")


# ---------------------------------------------------------------- killed writers

TESTS = str(Path(__file__).parents[2])


HOUR = 3600
"""Seconds after which what lies beside a record was left by a process that was killed."""


def age(folder: Path, seconds: float = HOUR + 60) -> None:
    """Make a folder older, as a rule than any writer at work."""
    then = time.time() - seconds
    os.utime(folder, (then, then))


WRITER = """
import sys
from pathlib import Path
import numpy as np
from papa.benchmark.runs.record import npz_bytes, write_record
from support import tiny
from support.command_line import Papa
from support.pixels import META

folder, noise = Path(sys.argv[1]), np.random.default_rng(0).standard_normal(20_000)
print("ready", flush=True)
for i in range(10**6):
    data = npz_bytes({"final": noise + i})
    write_record(folder, {"samples.npz": data, "feedback.jsonl": b"{}" * 5000}, META.model_copy(update={"key": str(i)}))
"""


def test_a_killed_writer_leaves_the_old_or_the_new_record_and_never_a_torn_one(tmp_path: Path) -> None:
    folder, found, left = tmp_path / "runs" / "seed0", [], []
    for attempt in range(60):  # until kills have hit what there is to hit; a busy machine takes more of them
        if len(found) >= 4 and len(set(found)) > 1 and any(left):
            break
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": TESTS}
        )
        assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
        time.sleep(0.02 + 0.013 * (attempt % 8))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        left.append(leftovers(folder) if folder.parent.exists() else [])
        if folder.exists():  # in the instant of the exchange there is none, which counts as not made
            meta = verify(folder)
            values = read_record(folder).arrays()["final"]
            assert values[0] == pytest.approx(np.random.default_rng(0).standard_normal() + int(meta.key))
            found.append(meta.key)
    assert len(found) >= 4 and len(set(found)) > 1, "the writer was hardly ever in the middle of its work"
    assert any(left), "no writer was killed in the middle of a write"
    for name in leftovers(folder):
        age(folder.parent / name)
    put(folder)
    assert leftovers(folder) == [] and is_complete(folder, "k"), "the next writer sweeps what the killed ones left"


def test_sweeping_spares_other_records_and_writers_at_work(record: Path) -> None:
    at_work, gone = (record.with_name(f".seed0.{token}.new") for token in ("a" * 32, "b" * 32))
    others = [record.with_name(name) for name in (f".seed01.{'c' * 32}.new", "seed1", ".seed0x", ".seed0.key")]
    for folder in (at_work, gone, *others):
        folder.mkdir()
    for folder in (gone, *others):
        age(folder)
    age(at_work, HOUR - 120)
    put(record)
    assert not gone.exists()
    assert at_work.exists() and all(folder.exists() for folder in others)


def test_two_writers_of_one_record_never_leave_a_torn_one(tmp_path: Path) -> None:
    """Process numbers repeat between containers, so none is looked at; whoever is last wins, whole."""
    folder = tmp_path / "runs" / "seed0"
    command = [sys.executable, "-c", WRITER.replace("10**6", "60"), str(folder)]
    writers = [subprocess.Popen(command, env=os.environ | {"PYTHONPATH": TESTS}) for _ in range(2)]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        try:
            verify(folder)
            seen += 1
        except RecordError:  # in the instant of an exchange there is none, or the next one
            continue
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen and verify(folder).key == "59" and leftovers(folder) == []


EXCHANGES = """
import sys
from pathlib import Path
from papa.benchmark.runs.record import write_record
from support.pixels import META

for i in range(200):
    write_record(Path(sys.argv[1]), {"rounds.csv": b"round\\n"}, META.model_copy(update={"key": str(i)}))
"""


def test_four_writers_that_do_little_but_exchange_all_succeed(tmp_path: Path) -> None:
    """One that finds another's record in the place that it has just cleared tries again."""
    folder = tmp_path / "runs" / "seed0"
    command = [sys.executable, "-c", EXCHANGES, str(folder)]
    writers = [subprocess.Popen(command, env=os.environ | {"PYTHONPATH": TESTS}) for _ in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert verify(folder).key == "199" and leftovers(folder) == []


# ---------------------------------------------------------------- what was changed by hand


@pytest.mark.parametrize("text", ["[]", "null", "0", '"run"', "{}", '{"key": "k"}'])
def test_a_run_json_that_is_none_is_refused(record: Path, text: str) -> None:
    (record / "run.json").write_text(text, encoding="utf-8")
    with pytest.raises(RecordError) as caught:
        read_record(record)
    assert_paragraph(str(caught.value), "run.json", "delete the folder")
    assert not is_complete(record, "k")


@pytest.mark.parametrize(("name", "value"), [("labels", 81), ("status", "diverged"), ("seed", 1), ("user", "v")])
def test_a_value_that_was_changed_in_run_json_is_noticed(record: Path, name: str, value: Any) -> None:
    data = json.loads((record / "run.json").read_text(encoding="utf-8"))
    assert data[name] != value
    write_json(record / "run.json", data | {name: value})
    with pytest.raises(RecordError, match="changed after it was written"):
        read_record(record)


FULL = {"algorithm": "fkc", "reason": "none", "status": "diverged", "labels": 3, "weights": {"net": "a" * 64}}


@pytest.mark.parametrize("name", Meta.model_fields)
def test_a_field_that_is_lost_or_added_in_run_json_is_noticed(tmp_path: Path, name: str) -> None:
    spent = Evaluations(forward=1, backward=2, frozen=3)
    folder = put(tmp_path / "seed0", asked={"seed": 0}, learning=spent, total=spent, **FULL)
    data = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    for changed in ({n: v for n, v in data.items() if n != name}, data | {f"{name}_": data[name]}):
        write_json(folder / "run.json", changed)
        if name == "schema_version" and changed.keys() <= data.keys():
            assert read_record(folder).meta.schema_version == SCHEMA_VERSION  # there is one version to read
            continue
        with pytest.raises(RecordError) as caught:
            read_record(folder)
        assert_paragraph(str(caught.value), "run.json", "run again")
    write_json(folder / "run.json", data)
    assert is_complete(folder, "k")


@pytest.mark.parametrize("version", [1, SCHEMA_VERSION + 1, str(SCHEMA_VERSION), None])
def test_a_record_of_another_version_is_refused(record: Path, version: Any) -> None:
    data = json.loads((record / "run.json").read_text(encoding="utf-8")) | {"schema_version": version}
    data.pop("digest")
    write_json(record / "run.json", data | {"digest": digest_of(data)})
    with pytest.raises(RecordError, match="schema_version"):
        read_record(record)
    assert not is_complete(record, "k")


def test_files_that_were_swapped_are_noticed(record: Path) -> None:
    """Within a record, and between two whole ones."""
    other = record.with_name("seed1")
    about = META.model_copy(update={"key": "k"})
    write_record(other, {"samples.npz": npz_bytes({"final": np.ones(3)}), "rounds.csv": b"round\n2\n"}, about)
    for one, two in (("samples.npz", "rounds.csv"), ("samples.npz", "../seed1/samples.npz")):
        places = (record / one, record / two)
        first, second = (place.read_bytes() for place in places)
        for place, data in zip(places, (second, first), strict=True):
            place.write_bytes(data)
        with pytest.raises(RecordError, match="truncated or damaged"):
            verify(record)
        for place, data in zip(places, (first, second), strict=True):
            place.write_bytes(data)
    assert is_complete(record, "k") and is_complete(other, "k")


ROW = {"metric": "fid", "value": 1.5, "unit": "", "round": 1, "stage": "final"}


def damaged_scores() -> dict[str, Any]:
    """Contents of `metrics.json` that are none."""
    good = {"key": "k", "digest": digest_of([ROW]), "rows": [ROW]}
    rows = {
        "a row without a value": {name: value for name, value in ROW.items() if name != "value"},
        "text as a value": ROW | {"value": "much"},
        "a number as text": ROW | {"value": "1.6"},
        "a list as a value": ROW | {"value": [1.5]},
        "another value": ROW | {"value": 0.999},
        "no value": ROW | {"value": None},
        "another round": ROW | {"round": 2},
        "a row that is none": [],
    }
    return (
        {repr(content): content for content in ([], None, 0, "rows", {}, [good], good | {"rows": None})}
        | {name: good | {"rows": [row]} for name, row in rows.items()}
        | {"no rows": good | {"rows": []}, "a row twice": good | {"rows": [ROW, ROW]}}
        | {f"no {name}": {n: v for n, v in good.items() if n != name} for name in good}
    )


@pytest.mark.parametrize("what", damaged_scores())
def test_values_that_are_none_or_were_changed_are_refused(record: Path, what: str) -> None:
    write_scores(record, "k", [ROW])
    assert read_scores(record, "k") == [ROW] and read_scores(record, "another") is None
    write_json(record / "metrics.json", damaged_scores()[what])
    with pytest.raises(RecordError) as caught:
        read_scores(record, "k")
    assert_paragraph(str(caught.value), "metrics.json", "delete it", "run the same command again")


@pytest.mark.parametrize("text", ["", "{", "NaN", '{"key": "k", "digest": "", "rows": [{"value": NaN}]}', "\x00"])
def test_values_that_are_no_json_are_refused(record: Path, text: str) -> None:
    (record / "metrics.json").write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=r"metrics\.json is damaged"):
        read_scores(record, "k")


# ---------------------------------------------------------------- what is no number


def strictly(text: str) -> Any:
    """JSON as its standard has it."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("method", ["base", "fkc"])
def test_no_file_of_a_run_has_a_bare_nan(tmp_path: Path, papa: Papa, method: str) -> None:
    """Of a user who answers nothing: every answer is no number, and no label was the first that was liked."""
    block = {"task": "gmm2d", "methods": [method], "users": ["silent"], "seeds": [0]}
    data = tiny.config(tmp_path, block, users={"silent": {"user": "linear", "missing": 1.0}})
    path = tiny.write(tmp_path, data)
    axes, shared = ["--task", "gmm2d", "--method", method, "--user", "silent"], ["--task", "gmm2d", "--seeds", "0"]
    for command in (["base", *shared], ["align", *axes], ["score"], ["collect"]):
        assert papa(*command, "--config", path)[0] == 0
    files = [*(tmp_path / "results").rglob("*.json"), *(tmp_path / "results").rglob("*.jsonl")]
    assert {file.name for file in files} == {"run.json", "metrics.json", "feedback.jsonl"}
    for file in files:
        text = file.read_text(encoding="utf-8")
        for part in text.splitlines() if file.suffix == ".jsonl" else [text]:
            strictly(part)
    folder = tmp_path / "results" / "gmm2d" / "runs" / method / "silent" / "seed0"
    lines = read_record(folder).lines()
    assert lines and all(line["preference"] == [None] * len(line["preference"]) for line in lines)
    (spec,) = load(path).select()
    (first,) = [row for row in read_scores(folder, score_key(spec)) or [] if row["metric"] == "labels_to_first_like"]
    assert math.isnan(first["value"])


def test_json_without_nan_is_all_that_is_written(tmp_path: Path) -> None:
    for value in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            write_json(tmp_path / "a.json", {"value": [value]})
        with pytest.raises(ValueError, match="JSON"):
            jsonl_bytes([{"value": value}])
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- places that cannot be written


def full(*args: Any, **kwargs: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_said_in_a_paragraph_and_the_old_record_stays(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(PapaError) as caught:
            put(record, "new")
    assert_paragraph(str(caught.value), "No space left on device", "Free disk space", "run the same command again")
    assert is_complete(record, "k") and leftovers(record) == []


def test_a_full_disk_while_bytes_are_written(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(PapaError, match="No space left"):
            put(record, "new")
        with pytest.raises(PapaError, match="No space left"):
            write_atomic(record.parent / "file", "text")
    assert is_complete(record, "k") and leftovers(record) == []


@pytest.mark.parametrize("fails", [1, 2])
def test_a_failed_exchange_keeps_the_old_record(record: Path, monkeypatch: pytest.MonkeyPatch, fails: int) -> None:
    """Moving the old record away works and moving the new one in does not: the old one comes back."""
    rename, calls = Path.rename, 0

    def sometimes(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        return full() if calls == fails else rename(self, target)

    monkeypatch.setattr(Path, "rename", sometimes)
    with pytest.raises(PapaError, match="No space left"):
        put(record, "new")
    assert is_complete(record, "k") and leftovers(record) == []


def test_no_permission_is_said_in_a_paragraph(tmp_path: Path) -> None:
    """Root may write anywhere, so the place is made impossible: below a regular file."""
    (tmp_path / "file").write_text("")
    for write in (
        lambda: put(tmp_path / "file" / "runs" / "seed0"),
        lambda: write_atomic(tmp_path / "file" / "stamp", "text"),
        lambda: write_json(tmp_path / "file" / "deeper" / "a.json", {}),
    ):
        with pytest.raises(PapaError) as caught:
            write()
        assert_paragraph(str(caught.value), "cannot write", "write permission", "`results:`")


def test_a_denied_folder_is_said_in_a_paragraph(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*args: Any, **kwargs: Any) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", denied)
        with pytest.raises(PapaError) as caught:
            put(record, "new")
    assert_paragraph(str(caught.value), "Permission denied", "give write permission")
    assert is_complete(record, "k")
