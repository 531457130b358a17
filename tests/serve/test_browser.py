"""The page in a browser (headless Chromium): keyboard, phone, reload, two tabs, proxies, a server that is gone."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.served import PATIENCE, Hosted, K, draft, hosted, preference

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium or chromedriver is missing (apt-get install chromium chromium-driver)"
)


class Browser:
    """A browser, and questions about its page."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str, index: int = 0) -> None:
        self.driver.get(url)
        self.round(index)

    def keys(self, *pressed: str) -> None:
        for key in pressed:
            ActionChains(self.driver, duration=0).send_keys(key).perform()

    def click(self, selector: str) -> None:
        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def script(self, text: str) -> Any:
        return self.driver.execute_script(f"return {text}")

    def answers(self) -> list[str]:
        return self.script("[...document.querySelectorAll('.item')].map((item) => item.dataset.answer)")

    def until(self, holds: Callable[[], Any]) -> None:
        start = time.monotonic()
        while not holds():
            assert time.monotonic() - start < PATIENCE, self.driver.find_element(By.TAG_NAME, "body").text
            time.sleep(0.05)

    def has(self, *answers: str) -> None:
        """Wait for these answers."""
        self.until(lambda: self.answers() == list(answers))

    def round(self, index: int) -> None:
        """Wait for the grid of a round."""
        name = "document.getElementById('grid')?.hidden === false && document.getElementById('round-name').textContent"
        self.until(lambda: self.script(name) == f"Round {index + 1}")

    def sent(self) -> None:
        """Wait until the queue is empty."""
        self.until(lambda: self.script("(sessionStorage.getItem(STORED) || '[]') === '[]'"))

    def here(self) -> int:
        """The item that has the focus."""
        return self.script("[...document.querySelectorAll('.item')].indexOf(document.activeElement)")

    def text(self, of: str) -> str:
        return self.script(f"document.getElementById('{of}').innerText")

    def visible(self, of: str) -> bool:
        return self.script(f"document.getElementById('{of}').offsetParent !== null")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    folder = tmp_path_factory.mktemp("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={folder}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def browser(chromium: Any) -> Iterator[Browser]:
    yield Browser(chromium)
    chromium.get("about:blank")
    for log in ("performance", "browser"):
        chromium.get_log(log)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hosted]:
    with hosted(tmp_path / "me.jsonl") as started:
        yield started


def test_a_session_by_keyboard_alone_that_loads_nothing_from_elsewhere(browser: Browser, server: Hosted) -> None:
    browser.open(server.url)
    browser.keys("l", "d", "s")
    assert browser.here() == 3 and browser.answers() == ["like", "dislike", "skip", ""]
    browser.keys(Keys.ENTER)
    assert "1 of 4 have no answer yet" in browser.text("said") and browser.here() == 3
    browser.keys(Keys.ARROW_LEFT, "s")
    assert browser.answers()[2] == "", "a second skip un-skips"
    browser.keys("u")
    browser.until(lambda: browser.answers()[2] == "skip")
    browser.keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, "l", Keys.ENTER)
    browser.round(1)
    assert browser.here() == 0, "the focus is in the new round"
    assert "4 of 10 images confirmed" in browser.text("progress-text")
    assert preference(server.log) == [[1.0, 0.0, None, 1.0]]
    browser.keys("u")  # back over the confirmation
    browser.round(0)
    assert browser.text("progress-text") == "0 of 10 images confirmed · round 1 of 3"
    assert browser.answers() == ["like", "dislike", "skip", "like"]
    browser.keys(*[Keys.ARROW_LEFT] * 4, "d", Keys.ENTER)
    browser.round(1)
    assert preference(server.log) == [[0.0, 0.0, None, 1.0]]
    browser.keys("l", "l", "l", "l", Keys.ENTER)
    browser.round(2)
    browser.keys("d", "d", Keys.ENTER)
    browser.until(lambda: "Thank you" in browser.text("round"))
    assert preference(server.log) == [[0.0, 0.0, None, 1.0], [1.0] * 4, [0.0, 0.0]]
    browser.until(lambda: browser.visible("preview-now"))
    assert hosts(browser) == {f"127.0.0.1:{server.port}"}
    assert [entry for entry in browser.driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def hosts(browser: Browser) -> set[str]:
    """Where the page's requests went, by the browser's own log."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.driver.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert len(asked) > 10
    own = ("data:", "chrome:", "chrome-untrusted:", "about:")  # the browser's own new tab
    return {url.split("/")[2] for url in asked if not url.startswith(own)}


def test_letter_keys_by_place_in_another_alphabet(browser: Browser, server: Hosted) -> None:
    browser.open(server.url)
    for key, code in (("д", "KeyL"), ("δ", "KeyD"), ("ы", "KeyS"), ("l", "KeyP")):
        for kind in ("keyDown", "keyUp"):
            browser.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": kind, "key": key, "code": code})
    browser.has("like", "dislike", "skip", "like")
    browser.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyDown", "key": "θ", "code": "KeyU"})
    browser.has("like", "dislike", "skip", "")


def test_fast_keystrokes_are_all_saved_in_order(browser: Browser, server: Hosted) -> None:
    count = 60
    browser.open(server.url)
    pressed = ["l" if index % 3 else "d" for index in range(count)]
    for index, key in enumerate(pressed):
        if index % K == 0:
            browser.script("document.querySelector('.item').focus()")
        browser.keys(key)
    browser.sent()
    steps = draft(server.log)
    assert [step["answer"] for step in steps] == ["like" if key == "l" else "dislike" for key in pressed]
    assert [step["seq"] for step in steps] == list(range(1, count + 1))
    assert [step["item"] for step in steps] == [index % K for index in range(count)]


def test_reload_and_back(browser: Browser, server: Hosted) -> None:
    browser.open(server.url)
    browser.keys("l", "d")
    browser.driver.refresh()  # at once: the new page sends the queue
    browser.round(0)
    browser.has("like", "dislike", "", "")
    assert browser.here() == 2, "at the first item without an answer"
    browser.keys("s")
    browser.has("like", "dislike", "skip", "")
    browser.sent()
    browser.driver.get("about:blank")
    browser.driver.back()
    browser.round(0)
    browser.has("like", "dislike", "skip", "")
    browser.keys("l", Keys.ENTER)
    browser.round(1)
    browser.driver.refresh()
    browser.round(1)
    assert preference(server.log) == [[1.0, 0.0, None, 1.0]] and len(draft(server.log)) == 5


def test_two_tabs(browser: Browser, server: Hosted) -> None:
    driver = browser.driver
    browser.open(server.url)
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    browser.open(server.url)
    second = driver.current_window_handle
    browser.keys("l", "l")
    browser.sent()
    driver.switch_to.window(first)
    browser.has("like", "like", "", "")  # it sees the other tab's answers
    browser.keys("d", "d", "d", "d", Keys.ENTER)
    browser.round(1)
    driver.switch_to.window(second)
    browser.round(1)
    browser.keys("l")
    browser.sent()
    driver.close()
    driver.switch_to.window(first)
    assert preference(server.log) == [[0.0] * 4]
    assert [step["round"] for step in draft(server.log) if step["op"] == "rate"] == [0] * 6 + [1]


def test_answers_wait_while_the_server_is_gone(browser: Browser, tmp_path: Path) -> None:
    with hosted(tmp_path / "me.jsonl") as server:
        browser.open(server.url)
        browser.keys("l")
        browser.sent()
    browser.keys("d", "s")
    browser.until(lambda: "no connection" in browser.text("trouble"))
    assert browser.answers() == ["like", "dislike", "skip", ""]
    with hosted(tmp_path / "me.jsonl", port=server.port):
        browser.sent()
        browser.until(lambda: not browser.visible("trouble"))
        browser.keys("l", Keys.ENTER)
        browser.round(1)
    assert preference(server.log) == [[1.0, 0.0, None, 1.0]]
    assert [step["seq"] for step in draft(server.log)] == [1, 2, 3, 4, 5], "none lost, none doubled"


class Proxy:
    """A proxy with a prefix, which it strips, and a Host of its own. refuses: it answers posts itself, with 403."""

    refuses = False

    def __call__(self, app: Any) -> Any:
        async def proxied(scope: Any, receive: Any, send: Any) -> None:
            path = scope["path"].removeprefix("/user/me/papa")
            if path == scope["path"] or (self.refuses and scope["method"] == "POST"):
                await send({"type": "http.response.start", "status": 403, "headers": []})
                await send({"type": "http.response.body", "body": b"<h1>Forbidden</h1>"})
                return
            headers = [(name, b"localhost" if name == b"host" else value) for name, value in scope["headers"]]
            await app(scope | {"path": path, "raw_path": path.encode(), "headers": headers}, receive, send)

        return proxied


def test_behind_a_proxy(browser: Browser, tmp_path: Path) -> None:
    proxy, token = Proxy(), "a-secret-of-some-length"
    with hosted(tmp_path / "me.jsonl", proxy=proxy, token=token) as server:
        browser.open(f"http://127.0.0.1:{server.port}/user/me/papa/?token={token}")
        assert browser.driver.current_url == f"http://127.0.0.1:{server.port}/user/me/papa/"
        browser.until(lambda: browser.script("[...document.images].every((image) => image.naturalWidth)"))
        browser.keys("l")
        browser.sent()
        proxy.refuses = True
        browser.keys("d")
        browser.until(lambda: "403" in browser.text("trouble"))
        assert "proxy" in browser.text("trouble") and "no connection" not in browser.text("trouble")
        proxy.refuses = False
        browser.sent()
        browser.until(lambda: not browser.visible("trouble"))
    assert [step["answer"] for step in draft(server.log)] == ["like", "dislike"]


def test_accessibility(browser: Browser, server: Hosted) -> None:
    """Names for screen readers, one tab stop, signs beside colours."""
    browser.open(server.url)
    browser.keys("l")
    labels = browser.script("[...document.querySelectorAll('.item')].map((item) => item.getAttribute('aria-label'))")
    assert labels == ["Image 1 of 4, liked"] + [f"Image {i} of 4, no answer yet" for i in (2, 3, 4)]
    assert browser.text("said") == "Image 1 of 4: liked." and browser.script("document.getElementById('said').ariaLive")
    assert "✓" in browser.driver.find_element(By.CSS_SELECTOR, ".item .rating").text
    assert browser.script("[...document.images].every((image) => image.hasAttribute('alt'))")
    assert browser.script("[...document.querySelectorAll('button')].every((button) => button.textContent.trim())")
    assert browser.script("[...document.querySelectorAll('.item')].map((item) => item.tabIndex)") == [-1, 0, -1, -1]


def test_single_key_shortcuts_can_be_turned_off(browser: Browser, server: Hosted) -> None:
    """WCAG 2.1.4. The other keys do everything, and the browser remembers the switch."""
    browser.open(server.url)
    browser.keys("l")
    browser.driver.find_element(By.ID, "single-keys").send_keys(Keys.SPACE)
    browser.keys("l", "d", "s", "u", Keys.ENTER)  # on the switch itself
    browser.driver.refresh()
    browser.round(0)
    assert browser.here() == 1 and browser.answers() == ["like", "", "", ""]
    browser.keys("l", "d", "s", "u")
    browser.keys(Keys.TAB, Keys.TAB, Keys.SPACE)  # the second button of the image
    browser.has("like", "dislike", "", "")
    browser.keys(Keys.BACKSPACE)
    browser.has("like", "", "", "")
    browser.sent()
    assert [step["op"] for step in draft(server.log)] == ["rate", "rate", "undo"]
    assert not browser.script("[...document.querySelectorAll('.single')].some((key) => key.offsetParent)")
    browser.click("#single-keys")
    browser.keys("s")
    browser.has("like", "skip", "", "")


def test_a_phone(browser: Browser, server: Hosted) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.open(server.url)
        buttons = "[...document.querySelectorAll('.choices button, .actions button')]"
        assert min(browser.script(f"{buttons}.map((b) => b.offsetHeight)")) >= 44
        assert browser.script("document.documentElement.scrollWidth") <= 390
        browser.click(".item:nth-child(3) button[data-answer=dislike]")
        browser.has("", "", "dislike", "")
        browser.click("#undo")
        browser.has("", "", "", "")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_pairs_without_a_model_to_save_and_given_images(browser: Browser, tmp_path: Path) -> None:
    with hosted(tmp_path / "me.jsonl", method="best_of_n", paired=True, shown=24) as server:
        browser.open(server.url)
        assert not browser.visible("save-model") and browser.visible("save-answers")
        assert "24 given images" in browser.driver.find_element(By.TAG_NAME, "header").text
        browser.keys("2", "t", Keys.ENTER)
        browser.round(1)
        assert preference(server.log) == [[0.0, 1.0, 0.5, 0.5]]


def test_save_and_delete(browser: Browser, server: Hosted) -> None:
    browser.open(server.url)
    browser.keys("l", "d", "l", "d", Keys.ENTER)
    browser.round(1)
    for button in ("#save-model", "#save-answers"):
        browser.click(button)
    browser.until(lambda: browser.text("notes").count("Saved: ") == 2)
    browser.click("summary")
    browser.driver.find_element(By.ID, "typed").send_keys("delete everythin")
    browser.click("button.danger")
    browser.until(lambda: "Nothing was deleted" in browser.text("said"))
    browser.driver.find_element(By.ID, "typed").send_keys("g", Keys.ENTER)
    browser.until(lambda: "was deleted" in browser.text("gone"))
    assert list(server.log.parent.iterdir()) == []
