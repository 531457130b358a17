"""Records are there whole or not at all, every damage is noticed, and planning sees a file that was cut short."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from support import tiny
from support.command_line import Papa, align, state_of
from support.pixels import META
from support.tiny import assert_paragraph

from papa.benchmark.grid import load
from papa.benchmark.runs.record import (
    Record,
    is_finished,
    npz_bytes,
    read_record,
    read_scores,
    write_record,
    write_scores,
)
from papa.benchmark.specs import RunSpec
from papa.errors import PapaError, RecordError
from papa.files import write_json

ARRAYS = {"final": np.arange(600, dtype=np.float32).reshape(2, 300), "shown": np.zeros(3)}
TESTS = str(Path(__file__).parents[2])


def put(folder: Path, key: str = "k", **meta: Any) -> Path:
    about = META.model_copy(update={"key": key, **meta})
    write_record(folder, {"samples.npz": npz_bytes(ARRAYS), "rounds.csv": b"round\n1\n"}, about)
    return folder


def sound(folder: Path, key: str | None = "k") -> bool:
    try:
        read_record(folder, key).verify()
    except RecordError as error:
        assert_paragraph(str(error))
        return False
    return True


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.parent.iterdir() if path != folder)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return put(tmp_path / "runs" / "seed0")


def test_a_record_comes_back_and_a_new_one_takes_its_place(record: Path) -> None:
    for name, values in read_record(record).arrays().items():
        np.testing.assert_array_equal(values, ARRAYS[name])
    assert sound(record) and not sound(record, "other") and not sound(record.with_name("nowhere"))
    (record / "metrics.json").write_text("values of the old run")
    put(record, "new", labels=7)
    assert read_record(record, "new").meta.labels == 7
    assert not (record / "metrics.json").exists() and leftovers(record) == []


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-2])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("name", ["samples.npz", "rounds.csv", "run.json"])
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink, lambda file: file.write_text("[]")])
def test_damage_is_noticed(record: Path, name: str, damage: Callable[[Path], Any]) -> None:
    damage(record / name)
    assert not sound(record)


@pytest.mark.parametrize(("name", "value"), [("labels", 81), ("status", "diverged"), ("schema_version", 2)])
def test_a_changed_value_in_run_json_is_noticed(record: Path, name: str, value: Any) -> None:
    data = json.loads((record / "run.json").read_text(encoding="utf-8"))
    write_json(record / "run.json", data | {name: value})
    assert not sound(record)


@pytest.fixture
def specs(finished: tuple[Path, Path]) -> list[RunSpec]:
    return list(load(finished[0]))


def test_planning_sees_files_that_are_cut_damaged_or_gone(specs: list[RunSpec]) -> None:
    """By their sizes alone, of runs and of base samples."""
    assert all(is_finished(spec, verify=True) and is_finished(spec.base, verify=True) for spec in specs)
    spec = specs[0]
    for of, names in (
        (spec, ("samples.npz", "feedback.jsonl", "rounds.csv", "run.json", "metrics.json")),
        (spec.base, ("samples.npz", "latents.npz")),
    ):
        for name in names:
            for damage in (cut, Path.unlink):
                file = of.folder / name
                data = file.read_bytes()
                damage(file)
                assert not is_finished(of), (name, damage)
                file.write_bytes(data)
        assert is_finished(of)


def test_values_that_were_changed_or_are_out_of_date_are_refused(specs: list[RunSpec]) -> None:
    spec = specs[0]
    rows, file = read_scores(spec), spec.folder / "metrics.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    for wrong in (data | {"key": "other"}, data | {"rows": data["rows"][1:]}, [], {}):
        write_json(file, wrong)
        with pytest.raises(RecordError, match=r"metrics\.json"):
            read_scores(spec)
        assert not is_finished(spec)
    write_scores(spec, [{**rows[0], "value": math.inf}])  # JSON has no infinity
    assert math.isnan(read_scores(spec)[0]["value"]) and is_finished(spec)


def test_runs_and_base_samples_of_two_devices_are_never_mixed(specs: list[RunSpec], papa: Papa) -> None:
    """A run on another device than its base samples is not finished; `auto` follows the base samples."""
    spec = specs[0]
    record = read_record(spec.base.folder)
    files = {name: (record.folder / name).read_bytes() for name in record.meta.files}
    write_record(spec.base.folder, files, record.meta.model_copy(update={"device": "cuda:0"}))
    assert is_finished(spec.base) and not is_finished(spec)
    config = spec.folder.parents[5] / "config.yaml"
    code, said = papa(*align(config))  # the configuration says cpu
    assert code == 2 and "were sampled on cuda:0" in said
    data = tiny.config(config.parent) | {"device": "auto"}
    auto = load(tiny.write(config.parent, data)).select("gmm2d", "base")[0]
    write_record(auto.base.folder, files, record.meta.model_copy(update={"key": auto.base.key, "device": "cpu"}))
    code, said = papa(*align(config, seeds="0"))
    assert code == 0 and read_record(auto.folder, auto.key).meta.device == "cpu"


def test_a_damaged_run_stops_collect_and_align_makes_it_again_alone(
    finished: tuple[Path, Path], papa: Papa, refused: Callable[..., str]
) -> None:
    path, results = finished
    flip(results / "gmm2d/runs/fkc/linear/seed1/samples.npz")
    before = state_of(results)
    refused("collect", "--config", path, words=("seed1/samples.npz", "damaged", "delete"))
    assert state_of(results) == before
    code, said = papa(*align(path, method="fkc"))
    assert code == 0 and said.count("already there") == 1
    after = state_of(results)
    assert {name for name in before if before[name] != after[name]} == {
        name for name in before if name.startswith("gmm2d/runs/fkc/linear/seed1/")
    }
    assert papa("collect", "--config", path)[0] == 0


def test_the_answers_of_a_run_are_the_log_of_its_session(specs: list[RunSpec]) -> None:
    for spec in specs:
        record = read_record(spec.folder)
        lines = [json.loads(line) for line in (spec.folder / "feedback.jsonl").read_text().splitlines()]
        assert lines[0]["key"] == spec.key and lines[1:] == record.rounds()
        assert sum(len(line["preference"]) for line in record.rounds()) == record.meta.labels == spec.settings.labels


@pytest.mark.usefixtures("small_blocks")
def test_runs_are_the_same_bits_in_one_process_or_many(tmp_path: Path, papa: Papa) -> None:
    found: list[dict[Any, Any]] = []
    block = {"task": "digits", "methods": ["papa"], "users": ["likes-1479", "likes-3"], "seeds": [0, 1]}
    for name, jobs in (
        ("one", [("likes-1479 likes-3", "0 1")]),
        ("many", [("likes-3", "1"), ("likes-1479", "1"), ("likes-1479", "0"), ("likes-3", "0")]),
    ):
        (tmp_path / name).mkdir()
        path = tiny.write(tmp_path / name, tiny.config(tmp_path / name, block))
        for users, seeds in jobs:
            axes = ["--method", "papa", "--user", *users.split(), "--seeds", *seeds.split()]
            assert papa("align", "--config", path, *axes)[0] == 0
        found.append({spec.folder.parts[-2:]: values(spec) for spec in load(path)})
    assert len(found[0]) == 4 and found[0] == found[1]


def values(spec: RunSpec) -> Any:
    record: Record = read_record(spec.folder, spec.key).verify()
    rows = [row for row in read_scores(spec) if row["metric"] not in ("seconds", "peak_memory")]
    return {name: array.tobytes() for name, array in record.arrays().items()}, record.rounds(), str(rows)


@pytest.mark.usefixtures("small_blocks")
def test_finished_seeds_of_a_failed_job_stay_and_force_makes_one_again(
    tmp_path: Path, papa: Papa, monkeypatch: pytest.MonkeyPatch
) -> None:
    from papa.methods import load_method

    path, fkc, told = tiny.write(tmp_path, tiny.config(tmp_path)), load_method("fkc"), 0
    tell = fkc.tell

    def fails_in_the_second_run(self: Any, *args: Any) -> None:
        nonlocal told
        told += 1
        if told == 5:
            raise RuntimeError("a bug, the power, anything")
        tell(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(fkc, "tell", fails_in_the_second_run)
        with pytest.raises(RuntimeError, match="anything"):
            papa(*align(path, method="fkc"))
    runs = tmp_path / "results/gmm2d/runs/fkc/linear"
    before = state_of(runs / "seed0")
    code, said = papa(*align(path, method="fkc"))
    assert code == 0 and "seed0: already there" in said and state_of(runs / "seed0") == before
    assert papa(*align(path, method="fkc", seeds="0"), "--force")[0] == 0
    assert state_of(runs / "seed0") != before


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("method", ["base", "fkc"])
def test_no_file_of_a_run_without_answers_has_a_bare_nan(tmp_path: Path, papa: Papa, method: str) -> None:
    block = {"task": "gmm2d", "methods": [method], "users": ["silent"], "seeds": [0]}
    path = tiny.write(tmp_path, tiny.config(tmp_path, block, users={"silent": {"user": "linear", "missing": 1.0}}))
    assert papa(*align(path, method=method, user="silent"))[0] == 0
    texts = [file.read_text() for suffix in ("json", "jsonl") for file in tmp_path.rglob(f"*.{suffix}")]
    assert texts and not any("NaN" in text or "Infinity" in text for text in texts)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from papa.benchmark.runs.record import Meta, npz_bytes, write_record

META = Meta.model_validate_json(sys.argv[3])
folder, noise = Path(sys.argv[1]), np.random.default_rng(0).standard_normal(20_000)
print("ready", flush=True)
for i in range(int(sys.argv[2])):
    data = npz_bytes({"final": noise + i})
    write_record(folder, {"samples.npz": data, "feedback.jsonl": b"{}" * 5000}, META.model_copy(update={"key": str(i)}))
"""


def writer(folder: Path, times: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, str(folder), str(times), META.model_dump_json()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": f"{PYTHONPATH}{TESTS}"})


PYTHONPATH = f"{os.environ['PYTHONPATH']}{os.pathsep}" if "PYTHONPATH" in os.environ else ""


def test_a_killed_writer_leaves_the_old_or_the_new_record(tmp_path: Path) -> None:
    folder, seen = tmp_path / "runs" / "seed0", set()
    for attempt in range(8):
        process = writer(folder, 10**6)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(0.05 + 0.013 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if folder.exists():  # in the instant of the exchange there is none, which counts as missing
            assert sound(folder, None)
            seen.add(read_record(folder).meta.key)
    assert seen
    for name in leftovers(folder):
        os.utime(folder.parent / name, (0, 0))
    put(folder)
    assert leftovers(folder) == [] and sound(folder), "the next writer removes what killed ones left"


def test_two_writers_of_one_record_leave_a_whole_one(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "seed0"
    both = [writer(folder, 60) for _ in range(2)]
    for process in both:
        process.communicate()
    assert [process.returncode for process in both] == [0, 0]
    assert sound(folder, None) and leftovers(folder) == []


def full(*args: Any, **kwargs: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["os.replace", "os.fsync"])
def test_a_full_disk_keeps_the_old_record(record: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(call, full)
        with pytest.raises(PapaError) as caught:
            put(record, "new")
    assert_paragraph(str(caught.value), "No space left on device", "Free disk space", "run the same command again")
    assert sound(record) and leftovers(record) == []


@pytest.mark.parametrize("fails", [1, 2])
def test_a_failed_exchange_keeps_the_old_record(record: Path, monkeypatch: pytest.MonkeyPatch, fails: int) -> None:
    rename, calls = Path.rename, 0

    def sometimes(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        return full() if calls == fails else rename(self, target)

    monkeypatch.setattr(Path, "rename", sometimes)
    with pytest.raises(PapaError, match="No space left"):
        put(record, "new")
    assert sound(record) and leftovers(record) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, papa: Papa) -> None:
    """Root may write anywhere, so the place is below a regular file."""
    (tmp_path / "file").write_text("")
    path = tiny.write(tmp_path, tiny.config(tmp_path) | {"results": str(tmp_path / "file" / "results")})
    for command in (["base", "--config", str(path), "--task", "gmm2d", "--seeds", "0"], align(path)):
        code, said = papa(*command)
        assert code == 2
        assert_paragraph(said.strip().splitlines()[-1], "cannot write", "give write permission", "`results:`")
    assert papa("doctor", "--config", path)[0] == 2
