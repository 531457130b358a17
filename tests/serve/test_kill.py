"""A server that is killed (SIGKILL) at any moment and started again: nothing that was taken is lost or asked again."""

from __future__ import annotations

import json
import signal
import threading
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from support.served import ANN, BEN, K, Server, preference, small


def steps(first: int, *given: dict[str, Any], client: str = ANN, seen: int = 0) -> dict[str, Any]:
    return {"steps": [{"client": client, "seq": first + i, "seen": seen, **one} for i, one in enumerate(given)]}


def rate(index: int, item: int, answer: str = "like") -> dict[str, Any]:
    return {"op": "rate", "round": index, "item": item, "answer": answer}


def asking(index: int) -> Any:
    return lambda state: state["asking"] is not None and state["asking"]["round"] == index and state["busy"] is None


def test_a_kill_within_a_round_and_while_the_model_learns(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.until(asking(0))
        server.post("/steps", steps(1, rate(0, 0), rate(0, 1, "dislike")))
        server.kill()
    with Server(tmp_path) as server:
        state = server.until(asking(0))
        assert state["asking"]["answers"] == ["like", "dislike", None, None]
        sent = steps(1, rate(0, 0), rate(0, 1, "dislike"), rate(0, 2, "skip"), {"op": "confirm", "round": 0}, seen=2)
        assert server.post("/steps", sent)["results"] == ["known", "known", "taken", "taken"]
        server.kill()  # at once: the log may or may not have the round
    with Server(tmp_path) as server:
        state = server.until(asking(1))
        assert preference(server.log) == [[1.0, 0.0, None, None]] and state["asking"]["answers"] == [None] * K
        assert server.post("/steps", steps(5, {"op": "undo"}, seen=4))["results"] == ["taken"]
        server.kill()
    with Server(tmp_path) as server:
        state = server.until(asking(0))
        assert preference(server.log) == [] and state["asking"]["answers"] == ["like", "dislike", "skip", None]


@pytest.mark.parametrize("moment", [0.05, 0.4, 0.9])
def test_a_kill_while_answers_come_loses_none_that_was_taken(tmp_path: Path, moment: float) -> None:
    taken: list[int] = []
    with Server(tmp_path) as server:
        server.until(asking(0))
        killer = threading.Timer(moment, server.kill)
        try:
            for seq in range(1, 10_000):
                answer = "like" if seq % 2 else "dislike"
                reply = server.post("/steps", steps(seq, rate(0, seq % K, answer)))
                assert reply["results"] == ["taken"]
                taken.append(seq)
                if seq == 1:  # however slow the machine is, one was taken
                    killer.start()
        except (OSError, HTTPException):
            pass  # the server was killed
        killer.join()
    lines = [json.loads(line) for line in tmp_path.joinpath("me.jsonl.draft").read_bytes().split(b"\n")[1:-1]]
    found = [line["seq"] for line in lines]
    assert found == list(range(1, len(found) + 1)) and len(found) - len(taken) in (0, 1), "the last may be unanswered"
    with Server(tmp_path) as server:
        server.until(asking(0))
        last = steps(1, *(rate(0, seq % K, "like" if seq % 2 else "dislike") for seq in found[-50:]), client=BEN)
        assert server.state()["version"] == len(found)
        assert server.post("/steps", last)["results"] == ["taken"] * len(last["steps"])


def test_an_interrupt_ends_the_server_and_releases_the_log(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.until(asking(0))
        server.post("/steps", steps(1, rate(0, 0)))
        server.process.terminate()
        server.process.wait(30)
        assert "Traceback" not in server.out.read_text()
    with Server(tmp_path) as server:
        assert server.until(asking(0))["asking"]["answers"][0] == "like"
        begun = time.monotonic()
        assert server.post("/stop", {})["state"]["gone"].startswith("Stopped.")
        assert server.process.wait(30) == 0 and time.monotonic() - begun < 20


def test_a_second_interrupt_waits_for_nothing(tmp_path: Path) -> None:
    endless = ("--settings", json.dumps(small("papa") | {"updates": 10**6}))
    with Server(tmp_path, *endless) as server:
        server.until(asking(0))
        server.post("/steps", steps(1, rate(0, 0), {"op": "confirm", "round": 0}, seen=0))
        server.until(lambda state: state["busy"] is not None and state["busy"]["what"].startswith("learning"))
        server.until(lambda state: len(server.log.read_text().splitlines()) == 2)  # the round is in the log
        server.process.send_signal(signal.SIGINT)
        until_said(server, "Ctrl-C once more")
        assert server.process.poll() is None
        begun = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 130 and time.monotonic() - begun < 10
        assert "Traceback" not in server.out.read_text()
    with Server(tmp_path, *endless) as server:
        assert preference(server.log) == [[1.0, None, None, None]]
        server.until(lambda state: state["round"] == 1)


def test_an_interrupt_before_the_page_is_there_is_told(tmp_path: Path) -> None:
    server = Server(tmp_path, wait=False)
    with server:
        until_said(server, "loading the model")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 130
    said = server.out.read_text()
    assert "Traceback" not in said and "interrupted" in said


def until_said(server: Server, words: str) -> None:
    """Wait until the terminal shows these words."""
    begun = time.monotonic()
    while words not in server.out.read_text():
        assert time.monotonic() - begun < 30, server.out.read_text()
        time.sleep(0.05)


def test_the_command_refuses_another_prompt_and_names_the_difference(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.until(asking(0))
    with pytest.raises(AssertionError, match="prompt is 'a fruit' in the log and 'a boat' here"):
        Server(tmp_path, "--prompt", "a boat")
