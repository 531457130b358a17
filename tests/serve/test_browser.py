"""The page in a browser (headless Chromium): by keyboard, fast, reloaded, in two tabs, with a server that dies."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.served import K, Server, preference

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
    """A tab, and what is asked of it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def keys(self, *pressed: str, every: float = 0.0) -> None:
        """Press keys, one every so many seconds."""
        due = time.monotonic()
        for key in pressed:
            ActionChains(self.driver, duration=0).send_keys(key).perform()
            due += every
            time.sleep(max(0.0, due - time.monotonic()))

    def script(self, text: str) -> Any:
        return self.driver.execute_script(f"return {text}")

    def answers(self) -> list[str]:
        return self.script("[...document.querySelectorAll('.item')].map((item) => item.dataset.answer)")

    def until(self, holds: Callable[[], Any], seconds: float = 30) -> Any:
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            try:
                if found := holds():
                    return found
            except Exception:
                if time.monotonic() - start > seconds - 1:
                    raise
            time.sleep(0.05)
        raise AssertionError(self.driver.find_element(By.TAG_NAME, "body").text)

    def round(self, index: int) -> None:
        """Wait until the grid of a round is there."""
        name = f"Round {index + 1}"
        shown = "!document.getElementById('grid').hidden && document.getElementById('round-name').textContent"
        self.until(lambda: self.script(shown) == name)

    def sent(self) -> None:
        """Wait until nothing is on its way."""
        self.until(lambda: self.script("(sessionStorage.getItem('papa-steps') || '[]') === '[]'"))

    def here(self) -> int:
        """Which item has the focus."""
        return self.script("[...document.querySelectorAll('.item')].indexOf(document.activeElement)")

    def said(self) -> str:
        return self.script("document.getElementById('said').textContent")

    def text(self, of: str) -> str:
        return self.script(f"document.getElementById('{of}').innerText")


@pytest.fixture
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    folder = tmp_path_factory.mktemp("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={folder}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as started:
        yield started


def draft(server: Server) -> list[dict[str, Any]]:
    lines = server.log.with_name("me.jsonl.draft").read_text().splitlines()[1:]
    return [line for line in map(json.loads, lines) if line["client"]]


def test_a_session_by_keyboard_alone_and_nothing_from_elsewhere(browser: Browser, server: Server) -> None:
    browser.driver.get(server.url)
    browser.round(0)
    browser.keys("l", "d", "s")
    assert browser.here() == 3 and browser.answers() == ["like", "dislike", "skip", ""]
    browser.keys(Keys.ENTER)
    assert "1 of 4 have no answer yet" in browser.said() and browser.here() == 3
    browser.keys(Keys.ARROW_LEFT, "s")
    assert browser.answers()[2] == "", "a second skip takes the first one back"
    browser.keys("u")
    browser.until(lambda: browser.answers()[2] == "skip")
    browser.keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, "l")
    browser.keys(Keys.ENTER)
    browser.round(1)
    assert browser.here() == 0, "the focus is in the new round"
    assert preference(server.log) == [[1.0, 0.0, None, 1.0]]
    browser.keys("u")  # back over the confirmation
    browser.round(0)
    assert browser.answers() == ["like", "dislike", "skip", "like"]
    browser.keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_LEFT, "d", Keys.ENTER)
    browser.round(1)
    assert preference(server.log) == [[0.0, 0.0, None, 1.0]]
    browser.keys("l", "l", "l", "l", Keys.ENTER)
    browser.round(2)
    browser.keys("d", "d", Keys.ENTER)
    browser.until(lambda: "Thank you" in browser.text("round"))
    assert preference(server.log) == [[0.0, 0.0, None, 1.0], [1.0] * 4, [0.0, 0.0]]
    assert "10 of 10 labels" in browser.text("spent-text")
    browser.until(lambda: not browser.script("document.getElementById('strip-now').hidden"))
    assert hosts(browser) == {f"127.0.0.1:{server.port}"}
    assert [entry for entry in browser.driver.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.slow
def test_eighty_labels_by_keyboard_alone(browser: Browser, tmp_path: Path) -> None:
    meaning = {"l": 1.0, "d": 0.0, "s": None}
    pressed = [["l", "d", "s", "l"] if index % 2 else ["d", "l", "l", "d"] for index in range(80 // K)]
    with Server(tmp_path, labels=80) as server:
        browser.driver.get(server.url)
        for index, keys in enumerate(pressed):
            browser.round(index)
            browser.keys(*keys, Keys.ENTER)
        browser.until(lambda: "Thank you" in browser.text("round"))
        assert "80 of 80 labels" in browser.text("spent-text")
        assert preference(server.log) == [[meaning[key] for key in keys] for keys in pressed]
        assert hosts(browser) == {f"127.0.0.1:{server.port}"}


def hosts(browser: Browser) -> set[str]:
    """Where the page's requests went, by the browser's own log."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.driver.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert len(asked) > 10
    own = ("data:", "chrome:", "chrome-untrusted:", "about:")  # the browser's own new tab
    return {url.split("/")[2] for url in asked if not url.startswith(own)}


def press_fast(browser: Browser, server: Server, count: int) -> list[dict[str, Any]]:
    """So many ratings at 20 a second; returns the steps on the disk."""
    browser.driver.get(server.url)
    browser.round(0)
    pressed = ["l" if index % 3 else "d" for index in range(count)]
    begun = time.monotonic()
    for index, key in enumerate(pressed):
        if index % K == 0:
            browser.script("document.querySelector('.item').focus()")
        browser.keys(key)
        time.sleep(max(0.0, begun + (index + 1) / 20 - time.monotonic()))
    assert time.monotonic() - begun < count / 20 * 1.5, "this machine does not press keys that fast"
    browser.sent()
    steps = draft(server)
    assert [step["answer"] for step in steps] == ["like" if key == "l" else "dislike" for key in pressed]
    assert [step["seq"] for step in steps] == list(range(1, count + 1))
    assert [step["item"] for step in steps] == [index % K for index in range(count)]
    return steps


def test_two_hundred_keystrokes_at_twenty_a_second(browser: Browser, server: Server) -> None:
    press_fast(browser, server, 200)


@pytest.mark.slow
def test_a_thousand_keystrokes_at_twenty_a_second(browser: Browser, server: Server) -> None:
    press_fast(browser, server, 1000)


def test_reload_and_back(browser: Browser, server: Server) -> None:
    browser.driver.get(server.url)
    browser.round(0)
    browser.keys("l", "d")
    browser.driver.refresh()  # at once: what was not sent yet is sent by the new page
    browser.round(0)
    browser.until(lambda: browser.answers() == ["like", "dislike", "", ""])
    assert browser.here() == 2, "at the first item without an answer"
    browser.keys("s")
    browser.until(lambda: browser.answers() == ["like", "dislike", "skip", ""])
    browser.sent()
    browser.driver.get("about:blank")
    browser.driver.back()
    browser.round(0)
    browser.until(lambda: browser.answers() == ["like", "dislike", "skip", ""])
    browser.keys("l", Keys.ENTER)
    browser.round(1)
    browser.driver.refresh()
    browser.round(1)
    assert preference(server.log) == [[1.0, 0.0, None, 1.0]] and len(draft(server)) == 5


def test_two_tabs(browser: Browser, server: Server) -> None:
    driver = browser.driver
    driver.get(server.url)
    browser.round(0)
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    driver.get(server.url)
    browser.round(0)
    second = driver.current_window_handle
    browser.keys("l", "l")
    browser.sent()
    driver.switch_to.window(first)
    browser.until(lambda: browser.answers() == ["like", "like", "", ""])  # it learns of the other tab's answers
    browser.keys("d", "d", "d", "d", Keys.ENTER)
    browser.round(1)
    driver.switch_to.window(second)
    browser.round(1)
    browser.keys("l")
    browser.sent()
    assert preference(server.log) == [[0.0] * 4]
    assert [step["round"] for step in draft(server) if step["op"] == "rate"] == [0] * 6 + [1]


def test_a_server_that_is_killed_and_started_again(browser: Browser, server: Server, tmp_path: Path) -> None:
    browser.driver.get(server.url)
    browser.round(0)
    browser.keys("l")
    browser.sent()
    server.kill()
    browser.keys("d", "s")  # nobody takes these now
    browser.until(lambda: "no connection" in browser.text("trouble"))
    assert browser.answers() == ["like", "dislike", "skip", ""]
    with Server(tmp_path, port=server.port) as again:
        browser.sent()
        browser.until(lambda: browser.script("document.getElementById('trouble').hidden"))
        browser.keys("l", Keys.ENTER)
        browser.round(1)
        assert preference(again.log) == [[1.0, 0.0, None, 1.0]]
        assert [step["seq"] for step in draft(again)] == [1, 2, 3, 4, 5], "none lost, none doubled"


def test_what_a_screen_reader_is_told(browser: Browser, server: Server) -> None:
    browser.driver.get(server.url)
    browser.round(0)
    browser.keys("l")
    labels = browser.script("[...document.querySelectorAll('.item')].map((item) => item.getAttribute('aria-label'))")
    assert labels == ["Picture 1 of 4, liked"] + [f"Picture {i} of 4, no answer yet" for i in (2, 3, 4)]
    assert browser.said() == "Picture 1 of 4: liked." and browser.script("document.getElementById('said').ariaLive")
    rating = browser.driver.find_element(By.CSS_SELECTOR, ".item .rating").text
    assert "✓" in rating and "liked" in rating, "a sign and words, not colour alone"
    images = browser.script("[...document.images].every((image) => image.hasAttribute('alt'))")
    named = browser.script("[...document.querySelectorAll('button')].every((button) => button.textContent.trim())")
    assert images and named
    places = browser.script("[...document.querySelectorAll('.item')].map((item) => item.tabIndex)")
    assert places == [-1, 0, -1, -1], "one stop for the tab key"


def test_keys_of_one_character_can_be_turned_off(browser: Browser, server: Server) -> None:
    """WCAG 2.1.4. What is left does all by keyboard, and the browser remembers the switch."""
    browser.driver.get(server.url)
    browser.round(0)
    browser.keys("l")
    browser.driver.find_element(By.ID, "single-keys").send_keys(Keys.SPACE)
    assert "do nothing now" in browser.said()
    browser.keys("l", "d", "s", "u", Keys.ENTER)  # on the switch itself
    browser.driver.refresh()
    browser.round(0)
    assert browser.here() == 1 and browser.answers() == ["like", "", "", ""]
    browser.keys("l", "d", "s", "u")
    browser.keys(Keys.TAB, Keys.TAB, Keys.SPACE)  # the second button of the picture
    browser.until(lambda: browser.answers() == ["like", "dislike", "", ""])
    browser.keys(Keys.BACKSPACE)
    browser.until(lambda: browser.answers() == ["like", "", "", ""])
    browser.sent()
    assert [step["op"] for step in draft(server)] == ["rate", "rate", "undo"]
    assert not browser.script("[...document.querySelectorAll('.single')].some((key) => key.offsetParent)")
    browser.driver.find_element(By.ID, "single-keys").click()
    browser.keys("s")
    browser.until(lambda: browser.answers() == ["like", "skip", "", ""])


def test_contrast(browser: Browser, server: Server) -> None:
    """WCAG AA: 4.5 to 1 for text, in light and in dark."""
    for scheme in ("light", "dark"):
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
        browser.driver.get(server.url)
        browser.round(0)
        browser.keys("l", "d", "s")
        for name, ratio in browser.script(CONTRAST):
            assert ratio >= 4.5, (scheme, name, ratio)


CONTRAST = """(() => {
  const light = (rgb) => rgb.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('h1, h2, h3, p, dd, kbd, button, label, summary, .rating span')]
    .filter((node) => node.offsetParent && node.textContent.trim()).map((node) => {
      const pair = [numbers(getComputedStyle(node).color).slice(0, 3), behind(node)].map(light).sort((a, b) => b - a);
      return [`${node.tagName} ${node.textContent.trim().slice(0, 30)}`, (pair[0] + 0.05) / (pair[1] + 0.05)];
    });
})()"""


def test_touch_targets_are_large_enough(browser: Browser, server: Server) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.driver.get(server.url)
    browser.round(0)
    heights = browser.script(
        "[...document.querySelectorAll('.choices button, .actions button')].map((b) => b.offsetHeight)"
    )
    assert min(heights) >= 44 and browser.script("document.documentElement.scrollWidth") <= 390
    browser.driver.find_element(By.CSS_SELECTOR, ".item:nth-child(3) button[data-answer=dislike]").click()
    browser.until(lambda: browser.answers() == ["", "", "dislike", ""])
    browser.driver.find_element(By.ID, "undo").click()
    browser.until(lambda: browser.answers() == [""] * 4)


def test_pairs_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    with Server(tmp_path, "--pairs") as server:
        browser.driver.get(server.url)
        browser.round(0)
        browser.keys("2", "t", Keys.ENTER)
        browser.round(1)
        assert preference(server.log) == [[0.0, 1.0, 0.5, 0.5]]


def test_the_token_is_left_behind_and_stop_and_delete_work(browser: Browser, tmp_path: Path) -> None:
    with Server(tmp_path, "--token", "a-secret-of-some-length") as server:
        browser.driver.get(server.url)
        browser.round(0)
        assert browser.driver.current_url == f"http://127.0.0.1:{server.port}/"
        browser.keys("l")
        browser.sent()
        browser.driver.find_element(By.CSS_SELECTOR, "summary").click()
        browser.driver.find_element(By.ID, "typed").send_keys("delete everythin")
        browser.driver.find_element(By.CSS_SELECTOR, "button.danger").click()
        browser.until(lambda: "Nothing was deleted" in browser.said())
        browser.driver.find_element(By.ID, "typed").send_keys("g", Keys.ENTER)
        browser.until(lambda: "was deleted" in browser.text("gone"))
        assert {file.name for file in tmp_path.iterdir()} == {"out.txt"}
