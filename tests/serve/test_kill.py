"""A server that is killed (SIGKILL) or interrupted: no accepted answer is lost or asked again."""

from __future__ import annotations

import json
import signal
import threading
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from support.served import ANN, BEN, PATIENCE, K, Server, desk, draft, preference, small


def steps(first: int, *given: dict[str, Any], client: str = ANN, seen: int = 0) -> dict[str, Any]:
    return {"steps": [{"client": client, "seq": first + i, "seen": seen, **one} for i, one in enumerate(given)]}


def rate(index: int, item: int, answer: str = "like") -> dict[str, Any]:
    return {"op": "rate", "round": index, "item": item, "answer": answer}


def asks(index: int) -> Any:
    return lambda state: state["question"] is not None and state["question"]["round"] == index and not state["busy"]


@pytest.mark.parametrize("moment", [0.05, pytest.param(0.4, marks=pytest.mark.slow)])
def test_a_kill_loses_no_accepted_answer(tmp_path: Path, moment: float) -> None:
    accepted: list[int] = []
    with Server(tmp_path) as server:
        server.until(asks(0))
        killer = threading.Timer(moment, server.kill)
        try:
            for seq in range(1, 10_000):
                reply = server.post("/steps", steps(seq, rate(0, seq % K, "like" if seq % 2 else "dislike")))
                assert reply["results"] == ["taken"]
                accepted.append(seq)
                if seq == 1:  # even on a slow machine one was accepted
                    killer.start()
        except (OSError, HTTPException):
            pass  # killed
        killer.join()
    lines = tmp_path.joinpath("me.jsonl.draft").read_bytes().split(b"\n")[1:-1]
    found = [json.loads(line)["seq"] for line in lines]
    assert found == list(range(1, len(found) + 1)) and len(found) - len(accepted) in (0, 1)
    with desk(server.log, about=about(server.log)) as at:
        assert at.state()["version"] == len(found) == len(draft(server.log))


def about(log: Path) -> dict[str, Any]:
    """What the command adds to the log's first line."""
    head = json.loads(log.read_text().splitlines()[0])
    return {name: head[name] for name in ("model", "prompt", "steps", "chunk", "guidance_scale", "shown")}


@pytest.mark.slow
def test_kills_while_the_model_learns_and_after_an_undo(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.until(asks(0))
        server.post("/steps", steps(1, rate(0, 0), rate(0, 1, "dislike")))
        server.kill()
    with Server(tmp_path) as server:
        state = server.until(asks(0))
        assert state["question"]["answers"] == ["like", "dislike", None, None]
        sent = steps(1, rate(0, 0), rate(0, 1, "dislike"), rate(0, 2, "skip"), {"op": "confirm", "round": 0}, seen=2)
        assert server.post("/steps", sent)["results"] == ["known", "known", "taken", "taken"]
        server.kill()  # at once: the log may or may not have the round
    with Server(tmp_path) as server:
        state = server.until(asks(1))
        assert preference(server.log) == [[1.0, 0.0, None, None]] and state["question"]["answers"] == [None] * K
        assert server.post("/steps", steps(5, {"op": "undo"}, seen=4))["results"] == ["taken"]
        server.kill()
    with Server(tmp_path) as server:
        state = server.until(asks(0))
        assert preference(server.log) == [] and state["question"]["answers"] == ["like", "dislike", "skip", None]
        assert server.post("/stop", {})["state"]["gone"].startswith("Stopped.")
        assert server.process.wait(PATIENCE) == 0 and "Traceback" not in server.out.read_text()
    with pytest.raises(AssertionError, match="prompt is 'a fruit' in the log and 'a boat' here"):
        Server(tmp_path, "--prompt", "a boat")


@pytest.mark.slow
def test_a_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    endless = ("--settings", json.dumps(small("papa") | {"updates": 10**6}))
    with Server(tmp_path, *endless) as server:
        server.until(asks(0))
        server.post("/steps", steps(1, rate(0, 0), {"op": "confirm", "round": 0}, client=BEN))
        server.until(lambda state: state["busy"] is not None and state["busy"]["what"].startswith("learning"))
        server.until(lambda state: len(server.log.read_text().splitlines()) == 2)  # the round is in the log
        server.process.send_signal(signal.SIGINT)
        server.said("Press Ctrl-C again")
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE) == 130 and "Traceback" not in server.out.read_text()
    assert preference(server.log) == [[1.0, None, None, None]]


@pytest.mark.slow
def test_an_interrupt_while_the_model_loads(tmp_path: Path) -> None:
    with Server(tmp_path, ready=False) as server:
        server.said("loading the model")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE) == 130
    assert "Traceback" not in server.out.read_text()
