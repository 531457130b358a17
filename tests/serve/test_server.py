"""Every route, and everything that is refused before it reaches one."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.refusals import refused
from support.served import ANN, PROMPT, Server, client_of, desk, wait

from papa.errors import PapaError, SettingsError
from papa.serve import security, start
from papa.serve.desk import Desk
from papa.serve.security import LARGEST, Access
from papa.serve.server import STATIC, TYPED, listening

TOKEN = "a-secret-of-some-length"


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk whose answers no test of these depends on."""
    with desk(tmp_path_factory.mktemp("served") / "me.jsonl") as opened:
        yield opened


@pytest.fixture
def page(at: Desk) -> TestClient:
    return client_of(at)


def step(seq: int, **given: Any) -> dict[str, Any]:
    return {"op": "rate", "client": ANN, "seq": seq, "seen": 0, "round": 0, "item": 0, "answer": "like"} | given


# ---------------------------------------------------------------- the routes


def test_the_page_names_what_is_drawn_and_loads_nothing_from_elsewhere(page: TestClient) -> None:
    reply = page.get("/")
    assert reply.status_code == 200 and reply.headers["content-type"] == "text/html; charset=utf-8"
    assert PROMPT in reply.text and "<style" not in reply.text and " onclick" not in reply.text
    for name, media in STATIC.items():
        found = page.get(f"/static/{name}")
        assert found.status_code == 200 and found.headers["content-type"].startswith(media)
        assert f"/static/{name}" in reply.text
    everything = reply.text + page.get("/static/app.js").text + page.get("/static/app.css").text
    assert "http://" not in everything and "https://" not in everything


def test_a_prompt_is_text_and_no_markup(at: Desk) -> None:
    access = Access("127.0.0.1", 8000)
    title = {"prompt": '<script>alert("1")</script>', "model": "m", "method": "papa"}
    from papa.serve.server import application

    with TestClient(application(at, access, title), base_url="http://127.0.0.1:8000") as page:
        assert "<script>alert" not in page.get("/").text


def test_every_answer_carries_the_headers(page: TestClient) -> None:
    for reply in (page.get("/"), page.get("/state"), page.get("/nowhere"), page.get("/picture/0/0"), page.put("/")):
        assert reply.headers["content-security-policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
            "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer" and reply.headers["cache-control"] == "no-store"
        assert "server" not in reply.headers and "access-control-allow-origin" not in reply.headers


def test_pictures_are_served_by_round_and_number_only(page: TestClient) -> None:
    reply = page.get("/picture/0/3")
    assert reply.headers["content-type"] == "image/png" and reply.content.startswith(b"\x89PNG")
    assert page.get("/strip/before/0").content.startswith(b"\x89PNG")
    for path in (
        "/picture/0/4",
        "/picture/9/0",
        "/picture/-1/0",
        "/picture/0/-1",
        "/picture/0/0x1",
        "/picture/0/99999999999999999999",
        "/picture/../../etc/passwd",
        "/picture/0/..%2f..%2fetc%2fpasswd",
        "/strip/now/7",
        "/strip/..%2fme.jsonl/0",
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e/desk.py",
        "/static//etc/passwd",
        "/static/app.js%00",
        "/me.jsonl",
    ):
        assert page.get(path).status_code == 404, path


def test_steps_are_taken_and_the_state_tells_of_them(page: TestClient, at: Desk) -> None:
    reply = page.post("/steps", json={"steps": [step(1), step(2, item=1, answer="skip"), step(1)]})
    assert reply.status_code == 200 and reply.json()["results"] == ["taken", "taken", "known"]
    assert (
        reply.json()["state"]["asking"]["answers"]
        == ["like", "skip", None, None]
        == (page.get("/state").json()["asking"]["answers"])
    )
    assert page.post("/steps", json={"steps": [step(3, op="undo")]}).json()["results"] == ["taken"]
    assert page.post("/dial", json={"value": 1}).status_code == 200
    assert page.post("/again", json={}).status_code == 200
    wait(at)
    assert page.post("/export", json={"what": "answers"}).status_code == 200
    assert "no round was confirmed" in wait(at)["notes"][-1]


def test_what_is_no_request_of_the_page_is_refused(page: TestClient, at: Desk) -> None:
    before = at.draft.version
    for path, body in (
        ("/steps", {"steps": []}),
        ("/steps", {"steps": [step(50)], "more": 1}),
        ("/steps", {"steps": [step(50, client="../../etc")]}),
        ("/steps", {"steps": [step(0)]}),
        ("/steps", {"steps": [step(50, item=-1)]}),
        ("/steps", {"steps": [step(50, op="delete")]}),
        ("/steps", {"steps": [step(50) | {"seq": True}]}),
        ("/steps", {"steps": [step(seq) for seq in range(50, 151)]}),
        ("/steps", []),
        ("/dial", {"value": "much"}),
        ("/export", {"what": "/etc/passwd"}),
        ("/again", {"now": True}),
        ("/stop", {"now": True}),
    ):
        assert page.post(path, json=body).status_code == 422, (path, body)
    for text in ("", "{", "[" * 5000, '{"value": NaN}', '{"value": 1e999}'):
        reply = page.post("/dial", content=text, headers={"content-type": "application/json"})
        assert reply.status_code == 422, text
    assert page.post("/steps", content="steps=1").status_code == 415
    assert page.post("/steps", data={"steps": "1"}).status_code == 415
    assert page.get("/steps").status_code == page.post("/state", json={}).status_code == 405
    assert at.draft.version == before


def test_deletion_needs_the_words(tmp_path: Path) -> None:
    log = tmp_path / "me.jsonl"
    with desk(log) as at:
        page = client_of(at)
        page.post("/steps", json={"steps": [step(1)]})
        assert page.post("/delete", json={"typed": "yes"}).status_code == 400 and log.exists()
        reply = page.post("/delete", json={"typed": f" {TYPED.upper()} "})
        assert reply.status_code == 200 and "deleted" in reply.json()["state"]["gone"]
        assert list(tmp_path.iterdir()) == []


def test_a_stop_takes_nothing_more(tmp_path: Path) -> None:
    ended: list[bool] = []
    with desk(tmp_path / "me.jsonl") as at:
        page = client_of(at, ended=lambda: ended.append(True))
        assert page.post("/stop", json={}).json()["state"]["gone"].startswith("Stopped.") and ended == [True]
        assert page.post("/steps", json={"steps": [step(1)]}).json()["results"][0].startswith("Stopped.")


def test_a_full_disk_is_told_with_what_to_do(page: TestClient, at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from papa.serve import drafts

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    sent = {"steps": [step(1, client="c" * 24), step(2, client="c" * 24)]}
    with monkeypatch.context() as patch:
        patch.setattr(drafts, "write", full)
        reply = page.post("/steps", json=sent)
    assert reply.status_code == 507 and reply.json()["results"] == []
    assert "No space left" in reply.json()["message"] and "Free disk space" in reply.json()["message"]
    assert page.post("/steps", json=sent).json()["results"] == ["taken", "taken"]


# ---------------------------------------------------------------- hosts


KNOWN = {
    ("127.0.0.1", "127.0.0.1:8000"): True,
    ("127.0.0.1", "localhost:8000"): True,
    ("127.0.0.1", "localhost:9999"): True,  # through a tunnel
    ("127.0.0.1", "[::1]:8000"): True,
    ("127.0.0.1", "evil.example"): False,
    ("127.0.0.1", "evil.example:8000"): False,
    ("127.0.0.1", "127.0.0.1.evil.example"): False,
    ("127.0.0.1", "127.0.0.1@evil.example"): False,
    ("127.0.0.1", "192.168.0.7:8000"): False,
    ("127.0.0.1", ""): False,
    ("127.0.0.1", "[::1"): False,
    ("192.168.0.7", "192.168.0.7:8000"): True,
    ("192.168.0.7", "localhost:8000"): False,
    ("0.0.0.0", "192.168.0.7:8000"): True,
    ("0.0.0.0", f"{socket.gethostname()}:8000"): True,
    ("0.0.0.0", "evil.example"): False,
}


@pytest.mark.parametrize(("listens", "host"), KNOWN)
def test_hosts(at: Desk, listens: str, host: str) -> None:
    page = client_of(at, Access(listens, 8000))
    assert page.get("/state", headers={"host": host}).status_code == (200 if KNOWN[listens, host] else 421)


# ---------------------------------------------------------------- posts from elsewhere


def test_posts_come_from_the_page_alone(at: Desk) -> None:
    access = Access("127.0.0.1", 8000)
    page = client_of(at, access)
    good = {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000", "x-csrf-token": access.csrf}

    def status(**given: str | bytes | None) -> int:
        headers = good | {name.replace("_", "-"): value for name, value in given.items()}
        bare = TestClient(page.app, base_url="http://127.0.0.1:8000")
        return bare.post("/again", json={}, headers={k: v for k, v in headers.items() if v is not None}).status_code

    assert status() == 200
    assert status(sec_fetch_site="same-origin") == 200
    assert status(origin=None, sec_fetch_site="same-origin") == 200
    assert status(origin=None) == 403
    assert status(origin="null") == status(origin="http://evil.example") == 403
    assert status(origin="https://127.0.0.1:8000") == status(origin="http://127.0.0.1:8001") == 403
    assert status(origin="http://localhost:8000") == 403, "another name is another origin"
    assert status(sec_fetch_site="cross-site") == status(sec_fetch_site="same-site") == 403
    assert status(origin=None, sec_fetch_site="none") == 403
    assert status(x_csrf_token=None) == status(x_csrf_token="guess") == status(x_csrf_token="ä".encode()) == 403
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert page.request(method, "/state").status_code == 405


def test_bodies_have_a_limit(page: TestClient) -> None:
    assert page.post("/again", content=b" " * (LARGEST - 2) + b"{}", headers=JSON).status_code == 200
    assert page.post("/again", content=b" " * LARGEST + b"{}", headers=JSON).status_code == 413
    pieces = (b" " * 1024 for _ in range(LARGEST // 1024 + 1))
    assert page.post("/again", content=pieces, headers=JSON).status_code == 413, "also where no length is given"


JSON = {"content-type": "application/json"}


# ---------------------------------------------------------------- the token


def test_a_token_is_exchanged_for_a_cookie(at: Desk) -> None:
    access = Access("127.0.0.1", 8000, TOKEN)
    page = client_of(at, access)
    for path in ("/", "/state", "/picture/0/0", "/static/app.js", "/?token=", "/?token=guess", f"/state?token={TOKEN}"):
        assert page.get(path).status_code == 401, path
    assert page.post("/again", json={}).status_code == 401
    assert page.get("/state", headers={"cookie": "papa_8000=guess"}).status_code == 401
    assert page.get("/state", headers={"cookie": f"papa_8000={TOKEN}"}).status_code == 401
    reply = page.get(f"/?token={TOKEN}")
    cookie = reply.headers["set-cookie"]
    assert reply.status_code == 200 and "HttpOnly" in cookie and "SameSite=Strict" in cookie and TOKEN not in cookie
    assert PROMPT not in reply.text and 'content="0;url=/"' in reply.text
    assert page.get("/").status_code == page.get("/state").status_code == page.get("/picture/0/0").status_code == 200
    assert page.post("/again", json={}).status_code == 200
    other = client_of(at, Access("127.0.0.1", 8000, TOKEN + "!"))
    assert other.get("/state", headers={"cookie": cookie.split(";")[0]}).status_code == 401


def test_secrets_are_compared_in_constant_time(at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    whole = security.hmac.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return whole(a, b)

    monkeypatch.setattr(security.hmac, "compare_digest", compare)
    access = Access("127.0.0.1", 8000, TOKEN)
    page = client_of(at, access)
    page.get("/?token=guess")
    page.get(f"/?token={TOKEN}")
    page.post("/again", json={}, headers={"x-csrf-token": "guess"})
    right = [pair[1].decode() for pair in compared]
    assert right == [TOKEN, TOKEN, access.pass_, access.csrf]


def test_an_address_that_others_reach_needs_a_token() -> None:
    for host in ("0.0.0.0", "192.168.0.7", "::", "example.org"):
        refused(SettingsError, lambda host=host: start.check_access(host, None), "--token")
        start.check_access(host, TOKEN)
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.2"):
        start.check_access(host, None)
    refused(SettingsError, lambda: start.check_access("127.0.0.1", "short"), "can be guessed")


def test_a_port_that_is_taken_is_told() -> None:
    with listening("127.0.0.1", 0) as taken:
        refused(PapaError, lambda: listening("127.0.0.1", taken.getsockname()[1]), "Give another port")


# ---------------------------------------------------------------- a server of its own


def test_slow_clients_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(tmp_path) as server:
        server.until(lambda state: state["asking"] is not None)
        csrf = server.state()["csrf"]
        begun = time.monotonic()
        heads = {
            "no head": b"",
            "half a head": b"GET /state HTTP/1.1\r\nHost: 127.0.0.1",
            "half a body": (
                f"POST /again HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nOrigin: http://127.0.0.1:{server.port}\r\n"
                f"X-CSRF-Token: {csrf}\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{{"
            ).encode(),
            "half a second head": f"GET /state HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\nGET /st".encode(),
        }
        sockets = {name: socket.create_connection(("127.0.0.1", server.port)) for name in heads}
        for name, head in heads.items():
            sockets[name].sendall(head)
            sockets[name].settimeout(20)
        got = {name: everything(one) for name, one in sockets.items()}
        assert 8 < time.monotonic() - begun < 18
        assert got["no head"] == got["half a head"] == b""
        assert b" 408 " in got["half a body"] and got["half a second head"].startswith(b"HTTP/1.1 200")
        assert server.state()["asking"] is not None


def everything(one: socket.socket) -> bytes:
    """What comes until the other side ends the connection."""
    got = b""
    while part := one.recv(65536):
        got += part
    return got


def test_head_of_a_stranger_says_nothing_of_the_server(tmp_path: Path) -> None:
    with Server(tmp_path) as server, socket.create_connection(("127.0.0.1", server.port)) as one:
        one.sendall(b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        got = everything(one)
        assert got.startswith(b"HTTP/1.1 421") and b"uvicorn" not in got.lower() and PROMPT.encode() not in got
        assert json.loads(got.rpartition(b"\r\n")[2])["message"]
