"""The routes, and who may use them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.refusals import refused
from support.served import ANN, PROMPT, client_of, desk, wait

from papa.errors import PapaError, SettingsError
from papa.serve import drafts, start
from papa.serve.desk import Desk
from papa.serve.security import HEADERS, Access
from papa.serve.server import STATIC, TYPED, Page, listening

TOKEN = "a-secret-of-some-length"


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk; no test here depends on its answers."""
    with desk(tmp_path_factory.mktemp("served") / "me.jsonl") as opened:
        yield opened


@pytest.fixture
def page(at: Desk) -> TestClient:
    return client_of(at)


def step(seq: int, **given: Any) -> dict[str, Any]:
    return {"op": "rate", "client": ANN, "seq": seq, "seen": 0, "round": 0, "item": 0, "answer": "like"} | given


def test_the_page_loads_its_own_files_by_relative_addresses(page: TestClient) -> None:
    reply = page.get("/")
    assert reply.status_code == 200 and PROMPT in reply.text
    script = page.get("/static/app.js").text
    for name, media in STATIC.items():
        assert page.get(f"/static/{name}").headers["content-type"].startswith(media)
    everything = reply.text + script + page.get("/static/app.css").text
    assert not re.search(r"https?://(?!www.w3.org)", everything)
    assert not re.search(r"""(?:href=|src=|call\(|ask\(|imageOf\()["'`]/""", everything), "a proxy may add a prefix"


def test_the_heading_is_text(at: Desk) -> None:
    access = Access("127.0.0.1", 8000)
    title = {"prompt": "<script>alert(1)</script>", "model": "m", "method": "papa", "given": 0}
    app = Page(at, access, title, lambda: None).application()
    assert "<script>alert" not in TestClient(app, base_url="http://127.0.0.1").get("/").text


def test_every_response_has_the_headers(page: TestClient) -> None:
    unknown = page.get("/", headers={"host": "evil.example"})
    for reply in (page.get("/"), page.get("/state"), page.get("/nowhere"), page.put("/"), unknown):
        assert all(reply.headers[name] == value for name, value in HEADERS.items())


def test_images_are_served_by_round_and_number_only(page: TestClient) -> None:
    for path in ("/image/0/3", "/preview/before/5"):
        reply = page.get(path)
        assert reply.headers["content-type"] == "image/png" and reply.content.startswith(b"\x89PNG")
    for path in ("/image/0/4", "/image/9/0", "/preview/before/6", "/preview/now/0", "/static/..%2fserver.py"):
        assert page.get(path).status_code == 404, path


def test_steps_and_other_posts(page: TestClient, at: Desk) -> None:
    reply = page.post("/steps", json={"steps": [step(1), step(2, item=1, answer="skip"), step(1)]})
    assert reply.status_code == 200 and reply.json()["results"] == ["taken", "taken", "known"]
    assert reply.json()["state"]["question"]["answers"] == ["like", "skip", None, None]
    assert page.post("/steps", json={"steps": [step(3, op="undo")]}).json()["results"] == ["taken"]
    assert page.post("/dial", json={"value": 1}).status_code == page.post("/again", json={}).status_code == 200
    assert page.post("/export", json={"what": "answers"}).status_code == 200
    assert "no round is confirmed" in wait(at)["notes"][-1]


def test_malformed_posts_are_refused(page: TestClient, at: Desk) -> None:
    before = at.draft.version
    for path, body in (
        ("/steps", {"steps": [step(50)], "more": 1}),
        ("/steps", {"steps": [step(50, item=-1)]}),
        ("/export", {"what": "/etc/passwd"}),
    ):
        assert page.post(path, json=body).status_code == 422, (path, body)
    assert page.post("/dial", content='{"value": NaN}').status_code == 422
    assert at.draft.version == before


def test_stop_and_delete(tmp_path: Path) -> None:
    stopped: list[bool] = []
    with desk(tmp_path / "me.jsonl") as at:
        page = client_of(at, stop=lambda: stopped.append(True))
        page.post("/steps", json={"steps": [step(1)]})
        assert page.post("/delete", json={"typed": "yes"}).status_code == 409 and at.log.exists()
        assert page.post("/stop", json={}).json()["state"]["gone"].startswith("Stopped.") and stopped == [True]
        assert page.post("/steps", json={"steps": [step(2)]}).json()["results"][0].startswith("Stopped.")
        reply = page.post("/delete", json={"typed": f" {TYPED.upper()} "})
        assert reply.status_code == 200 and "deleted" in reply.json()["state"]["gone"]
        assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_with_advice(page: TestClient, at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    sent = {"steps": [step(1, client="c" * 24), step(2, client="c" * 24)]}
    with monkeypatch.context() as patch:
        patch.setattr(drafts, "write", full)
        reply = page.post("/steps", json=sent)
    assert reply.status_code == 409 and reply.json()["results"] == []
    assert "No space left" in reply.json()["message"] and "Free disk space" in reply.json()["message"]
    assert page.post("/steps", json=sent).json()["results"] == ["taken", "taken"]


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8000", True),
        ("localhost:9999", True),  # through a tunnel
        ("[::1]:8000", True),
        ("192.168.0.7:8000", True),  # an address cannot be rebound
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("[::1", False),
    ],
)
def test_hosts(page: TestClient, host: str, known: bool) -> None:
    assert page.get("/state", headers={"host": host}).status_code == (200 if known else 421)


def test_a_proxy_in_front(at: Desk) -> None:
    """One that forwards the Host needs --allow-host; one that rewrites it, or adds https, needs nothing."""
    forwarded = {"host": "hub.example.org", "origin": "https://hub.example.org"}
    refusal = client_of(at).get("/", headers=forwarded)
    assert refusal.status_code == 421
    allowed = client_of(at, Access("127.0.0.1", 8000, names=("Hub.example.org",)))
    assert allowed.post("/again", json={}, headers=forwarded).status_code == 200
    rewritten = {"host": "127.0.0.1:8000", "origin": "https://hub.example.org"}
    assert client_of(at).post("/again", json={}, headers=rewritten).status_code == 200


def test_posts_carry_the_secret_of_the_page(page: TestClient) -> None:
    for wrong in ("", "guess"):
        assert page.post("/again", json={}, headers={"x-csrf-token": wrong}).status_code == 403
    assert page.post("/again", json={}).status_code == 200
    for reply in (page.get("/state"), page.options("/again", headers={"origin": "http://evil.example"})):
        assert "access-control-allow-origin" not in reply.headers, "other sites can neither read nor set it"


def test_a_token_is_exchanged_for_a_cookie(at: Desk) -> None:
    page = client_of(at, Access("127.0.0.1", 8000, TOKEN))
    for path in ("/", "/state", "/image/0/0", "/static/app.js", "/?token=guess"):
        assert page.get(path).status_code == 401, path
    assert page.post("/again", json={}).status_code == 401
    assert page.get("/state", headers={"cookie": f"papa_8000={TOKEN}"}).status_code == 401
    reply = page.get(f"/?token={TOKEN}")
    cookie = reply.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie and PROMPT not in reply.text
    assert page.get("/").status_code == page.get("/image/0/0").status_code == 200
    assert page.post("/again", json={}).status_code == 200
    other = client_of(at, Access("127.0.0.1", 8000, TOKEN + "!"))
    assert other.get("/state", headers={"cookie": cookie.split(";")[0]}).status_code == 401


def test_an_address_that_others_reach_needs_a_token() -> None:
    for host in ("0.0.0.0", "::", "example.org"):
        refused(SettingsError, lambda host=host: start.check_access(host, None), "--token")
        start.check_access(host, TOKEN)
    for host in ("127.0.0.1", "localhost", "::1"):
        start.check_access(host, None)
    refused(SettingsError, lambda: start.check_access("127.0.0.1", "short"), "can be guessed")


def test_a_port_that_is_not_available() -> None:
    with listening("127.0.0.1", 0) as taken:
        for port in (taken.getsockname()[1], 99999):
            refused(PapaError, lambda port=port: listening("127.0.0.1", port), "Choose another --port")
