"""The page in a real browser: draw, clear, choose pictures, survive a restart of the service; and /docs.

Needs Debian's chromium and chromium-driver (apt-get install chromium chromium-driver); where they are absent all is
skipped, and said. Every test also checks that nothing left this machine and that the console stayed empty.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.support.models import publish, written
from tests.support.server import ROOT, Server

pytestmark = pytest.mark.slow  # a browser is started
MISSING = "The page is NOT TESTED: there is no browser. Install one: apt-get install chromium chromium-driver"
ELSEWHERE = "digits.test"  # a name that the browser alone knows, for what browsers and Swagger UI allow localhost only
PATIENCE_S = 60
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1100,1000"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),  # asks nobody on its own
]

Stroke = Sequence[tuple[float, float]]  # points from 0 to 1 across the board
LINE: Stroke = [(0.5, 0.15 + step * 0.07) for step in range(11)]
ZERO: Stroke = [(0.5 + 0.2 * np.sin(turn), 0.5 - 0.3 * np.cos(turn)) for turn in np.linspace(0, 2 * np.pi, 33)]


class Page:
    """What a person does with the page, and what they then see."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self.forgiven = r"$^"  # a pattern: what the console may say in this test

    def open(self, address: str) -> None:
        self.driver.get(address)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return str(self.find(selector).get_property("textContent"))

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        return WebDriverWait(self.driver, PATIENCE_S, poll_frequency=0.05).until(lambda _: condition(), what)

    def wait_for(self, selector: str, pattern: str) -> str:
        """The text of an element, once it matches."""
        self.wait(lambda: re.search(pattern, self.text(selector)), f"{selector} never said {pattern!r}")
        return self.text(selector)

    def draw(self, *strokes: Stroke, kind: str = "mouse") -> None:
        board = self.find("#board")
        width, height = board.size["width"], board.size["height"]
        actions = ActionBuilder(self.driver, mouse=PointerInput(kind, kind), duration=5)
        pen = actions.pointer_action
        for stroke in strokes:
            places = [(round((x - 0.5) * width), round((y - 0.5) * height)) for x, y in stroke]
            pen.move_to(board, *places[0])
            pen.pointer_down()
            for place in places[1:]:
                pen.move_to(board, *place)
            pen.pointer_up()
        actions.perform()

    def answer(self, source: str = "Your drawing") -> str:
        """The digit, once the answer to the finished drawing or picture is there."""
        self.wait_for("#spoken", f"^{re.escape(source)}: [0-9]")
        return self.text("#digit")

    def gallery(self, size: int) -> list[str]:
        """What stands with each picture, once that many have been answered."""
        done = "#gallery li:not(.waiting)"
        entries = lambda: self.driver.find_elements(By.CSS_SELECTOR, done)  # noqa: E731
        self.wait(lambda: len(entries()) == size, f"there never were {size} pictures with an answer")
        return [str(entry.get_property("textContent")) for entry in entries()]

    def events(self) -> list[dict[str, Any]]:
        """The browser's network events since the last call."""
        return [json.loads(line["message"])["message"] for line in self.driver.get_log("performance")]

    def complaints(self) -> list[str]:
        said = [line["message"] for line in self.driver.get_log("browser")]
        return [line for line in said if not re.search(self.forgiven, line)]


def requested(events: list[dict[str, Any]]) -> list[str]:
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


@pytest.fixture(scope="session")
def driver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        capture = request.config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled():  # pytest -q would show no more than an s
            print(f"\n{MISSING}")
        pytest.skip(MISSING)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    profile = tmp_path_factory.mktemp("profile")
    for flag in [*FLAGS, f"--user-data-dir={profile}", f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(chromedriver)) as running:
        yield running


@pytest.fixture(scope="module")
def site(models_dir: Path) -> Iterator[Server]:
    """The service with the shipped model, or, before there is one, with the tests' own."""
    with Server(ROOT / "models" if (ROOT / "models/digits/current").is_file() else models_dir) as running:
        yield running


@pytest.fixture
def page(driver: webdriver.Chrome) -> Iterator[Page]:
    driver.get("about:blank")
    tested = Page(driver)
    tested.events()
    tested.complaints()
    yield tested
    hosts = {urlsplit(address).hostname for address in requested(tested.events())}
    assert hosts <= {"127.0.0.1", ELSEWHERE, None}, "the page asked another machine"
    assert tested.complaints() == []


@pytest.fixture
def home(page: Page, site: Server) -> Page:
    """The page, opened."""
    page.open(site.url)
    return page


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Files with real handwriting: 0.png, 4.png and 6.jpg."""
    files = [tmp_path / name for name in ("0.png", "4.png", "6.jpg")]
    for file in files:
        Image.fromarray(written()[int(file.stem)]).resize((96, 96), Image.Resampling.BICUBIC).save(file)
    return files


@pytest.mark.parametrize("kind", ["mouse", "touch", "pen"])
def test_a_drawing_is_answered(home: Page, site: Server, kind: str) -> None:
    home.draw(ZERO, kind=kind)
    assert home.answer() == "0"
    bars = [home.text(f"#bars li:nth-child({place}) span:last-child") for place in range(1, 11)]
    assert sum(float(bar.strip("> %")) for bar in bars) == pytest.approx(100, abs=1)
    assert home.find("#bars .best").text.startswith("0")
    model = site.client.get("/model").json()
    assert re.search(rf"{model['name']} version {model['version']} in \d+ ms$", home.text("#by"))


def test_every_new_stroke_is_answered_and_undo_goes_back(home: Page) -> None:
    upper, lower = ([(x, 0.1 + (y + place) / 2) for x, y in ZERO] for place in (-0.2, 0.4))
    home.draw(upper)
    assert home.answer() == "0"
    first = home.text("#spoken")
    home.draw(lower)  # an 8
    home.wait(lambda: home.text("#spoken") != first, "the second stroke was not answered")
    home.find("#undo").click()
    home.wait_for("#spoken", re.escape(first))


def test_clear_by_button_and_by_key_and_back(home: Page) -> None:
    home.draw(ZERO)
    home.answer()
    home.find("#clear").send_keys(Keys.ENTER)
    assert (home.text("#digit"), home.text("#spoken")) == ("?", "")
    home.find("body").send_keys(Keys.CONTROL, "z")
    assert home.answer() == "0"
    home.find("body").send_keys(Keys.ESCAPE)
    assert home.text("#digit") == "?"


def test_one_question_at_a_time(home: Page) -> None:
    home.draw(ZERO, LINE)
    home.answer()
    open_, most, asked = set(), 0, 0
    for event in home.events():
        about = event.get("params", {})
        if event["method"] == "Network.requestWillBeSent" and about["request"]["url"].endswith("/predict"):
            open_.add(about["requestId"])
            asked += 1
        elif event["method"] in ("Network.loadingFinished", "Network.loadingFailed"):
            open_.discard(about["requestId"])
        most = max(most, len(open_))
    assert asked > 2, "it should answer while the pen still moves"
    assert most == 1


@contextmanager
def held_up(site: Server) -> Iterator[None]:
    """Requests sent meanwhile are answered afterwards."""
    site.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        site.process.send_signal(signal.SIGCONT)


def test_an_answer_that_comes_after_clear_is_not_shown(home: Page, site: Server) -> None:
    with held_up(site):
        home.draw(ZERO)
        home.find("#clear").click()
    home.wait(lambda: home.driver.execute_script("return !asking"), "it never stopped asking")
    assert home.text("#digit") == "?"


def test_only_the_finished_drawing_is_spoken(home: Page, site: Server) -> None:
    home.driver.execute_script(
        """window.said = [];
        new MutationObserver(() => said.push(spoken.textContent)).observe(spoken, { childList: true });"""
    )
    with held_up(site):
        home.draw(ZERO)
    home.wait(lambda: home.driver.execute_script("return !asking"), "it never stopped asking")
    (said,) = home.driver.execute_script("return said")
    assert said.startswith("Your drawing: 0.")


def test_pictures_chosen_at_once(home: Page, pictures: list[Path]) -> None:
    home.find("#files").send_keys("\n".join(map(str, pictures)))
    assert [entry[0] for entry in home.gallery(3)] == ["0", "4", "6"]
    assert home.answer("6.jpg") == "6"
    home.find("#gallery li:nth-child(2) button").click()
    assert home.answer("4.png") == "4"


@pytest.mark.parametrize(("event", "holder"), [("drop", "dataTransfer"), ("paste", "clipboardData")])
def test_pictures_dropped_or_pasted(home: Page, event: str, holder: str) -> None:
    home.driver.execute_async_script(
        """const [event, holder, done] = arguments;
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = 90;
        const context = canvas.getContext("2d");
        context.fillStyle = "#fff"; context.fillRect(0, 0, 90, 90);
        context.fillStyle = "#005"; context.fillRect(42, 15, 8, 60);
        canvas.toBlob((blob) => {
          const data = new DataTransfer();
          data.items.add(new File([blob], "one.png", { type: "image/png" }));
          const kind = event === "drop" ? DragEvent : ClipboardEvent;
          document.body.dispatchEvent(new kind(event, { [holder]: data, bubbles: true, cancelable: true }));
          done();
        });""",
        event,
        holder,
    )
    assert home.answer("one.png") == "1"


def test_a_file_that_is_not_a_picture_is_rejected_with_a_sentence(home: Page, site: Server, tmp_path: Path) -> None:
    home.forgiven = r"/predict - Failed to load resource.* 4\d\d "  # the browser's own note of a refusal
    text = tmp_path / "notes.txt"
    text.write_text("seven")
    home.find("#files").send_keys(str(text))
    headers = {"Content-Type": "image/unknown"}
    detail = site.client.post("/predict", content=b"seven", headers=headers).json()["detail"]
    (entry,) = home.gallery(1)
    assert detail in entry
    home.draw(ZERO)
    assert home.answer() == "0"


def test_the_service_goes_and_comes_back_with_a_new_model(page: Page, tmp_path: Path) -> None:
    page.forgiven = "ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|ERR_SOCKET_NOT_CONNECTED"
    publish(tmp_path)
    with Server(tmp_path) as server:
        page.open(server.url)
        page.wait_for("#facts", "digits, version 1")
    page.draw(LINE)
    page.wait_for("#notice", "does not answer")
    publish(tmp_path)
    with Server(tmp_path, port=server.port):
        page.answer()
        assert "digits version 2" in page.text("#by")
        assert page.text("#notice") == ""
        page.wait_for("#facts", "digits, version 2")


def test_the_model_is_shown(home: Page, site: Server) -> None:
    card = site.client.get("/model").json()
    facts = home.wait_for("#facts", "version")
    assert card["architecture"] in facts
    assert f"{card['parameters']:,}" in facts
    assert home.text("#layers").strip() == site.client.get("/model", headers={"Accept": "text/plain"}).text.strip()


def test_the_examples_run(home: Page, tmp_path: Path) -> None:
    folder = {"behavior": "allow", "downloadPath": str(tmp_path)}
    home.driver.execute_cdp_cmd("Browser.setDownloadBehavior", folder)
    home.draw(ZERO)
    home.answer()
    home.find("#save").click()
    home.wait((tmp_path / "digit.png").exists, "Save as PNG saved nothing")
    python = subprocess.run([sys.executable, "-c", home.text("#python")], cwd=tmp_path, capture_output=True, text=True)
    assert "'digit': 0" in python.stdout, python.stderr
    if shutil.which("curl"):
        curl = subprocess.run(home.text("#curl"), shell=True, cwd=tmp_path, capture_output=True, text=True)
        assert '"digit":0' in curl.stdout, curl.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", ELSEWHERE])  # over plain http, the clipboard API is localhost's alone
def test_an_example_is_copied(page: Page, site: Server, host: str) -> None:
    page.driver.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardSanitizedWrite"]})
    page.open(f"http://{host}:{site.port}")
    page.find("[data-copy=curl]").click()
    page.wait_for("[data-copy=curl]", "Copied")
    assert page.driver.execute_script("return getSelection().toString()") == page.text("#curl")
    assert f"http://{host}:{site.port}/predict" in page.text("#curl")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 820, 1400])
def test_it_fits_and_can_be_read(home: Page, scheme: str, width: int) -> None:
    cdp = home.driver.execute_cdp_cmd
    cdp("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    cdp("Emulation.setDeviceMetricsOverride", {"width": width, "height": 700, "deviceScaleFactor": 2, "mobile": False})
    home.draw(LINE)
    home.answer()
    assert home.driver.execute_script("return document.documentElement.scrollWidth") <= width
    assert home.driver.execute_script(CONTRAST) == []
    cdp("Emulation.clearDeviceMetricsOverride", {})
    cdp("Emulation.setEmulatedMedia", {"features": []})


CONTRAST = """// every text whose contrast is under WCAG AA's 4.5, by the colours that the browser computed
const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
const linear = (c) => (c <= 10 ? c / 3295 : ((c / 255 + .055) / 1.055) ** 2.4);
const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
const ground = (at) => {
  const colour = parts(getComputedStyle(at).backgroundColor);
  return colour[3] === 0 ? ground(at.parentElement) : colour; // 0 is transparent
};
const contrast = (at) => {
  const [dark, bright] = [parts(getComputedStyle(at).color), ground(at)].map(light).sort((a, b) => a - b);
  return (bright + .05) / (dark + .05);
};
const written = (at) => [...at.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
const texts = [...document.querySelectorAll("body *")].filter((at) => at.checkVisibility() && written(at));
return texts.filter((at) => contrast(at) < 4.5).map((at) => `${at.outerHTML} has ${contrast(at)}`);"""


def test_docs_need_no_internet(page: Page, site: Server) -> None:
    page.open(f"http://{ELSEWHERE}:{site.port}/docs")
    paths = ".swagger-ui .opblock-summary-path"
    page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, paths), "Swagger UI showed no call")
    shown = [path.get_property("textContent") for path in page.driver.find_elements(By.CSS_SELECTOR, paths)]
    assert "/predict" in [str(path).replace("​", "") for path in shown]


def test_docs_call_the_service(page: Page, site: Server) -> None:
    page.forgiven = "escaping deep link"  # Swagger UI about itself
    page.open(f"{site.url}/docs#/health/get_health_live")
    live = ".opblock.is-open"
    page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, f"{live} .try-out__btn"), "the call was not opened")
    page.find(f"{live} .try-out__btn").click()
    page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, f"{live} .execute"), "nothing to execute")
    page.find(f"{live} .execute").click()
    page.wait_for(f"{live} .live-responses-table tbody .response-col_status", "200")


@pytest.mark.parametrize("path", ["", "docs"])
def test_a_page_runs_no_code_that_is_put_into_it(page: Page, site: Server, path: str) -> None:
    page.forgiven = "Content Security Policy"
    page.open(f"{site.url}/{path}")
    page.driver.execute_script(
        """const script = document.createElement("script");
        script.textContent = "window.broken_in = true";
        document.body.append(script);
        const picture = document.createElement("img");
        picture.setAttribute("onerror", "window.broken_in = true");
        picture.src = "data:,";
        document.body.append(picture);"""
    )
    page.wait(lambda: "Content Security Policy" in str(page.driver.get_log("browser")), "nothing was refused")
    assert not page.driver.execute_script("return window.broken_in")


@pytest.mark.parametrize("path", ["", "docs"])
def test_no_page_of_others_frames_ours(page: Page, site: Server, path: str, tmp_path: Path) -> None:
    page.forgiven = "frame"
    outer = tmp_path / "outer.html"
    outer.write_text(f'<iframe src="{site.url}/{path}"></iframe>')
    page.open(outer.as_uri())
    page.wait(lambda: "frame-ancestors" in str(page.driver.get_log("browser")), "it was framed")


def test_every_address_is_relative() -> None:
    """So that the page also works where a proxy serves it under a path of its own."""
    folder = ROOT / "service/static"
    links = re.findall(r'(?:href|src)="([^"]*)"', (folder / "index.html").read_text())
    links += re.findall(r'(?:ask|URL)\("([^"]*)"', (folder / "app.js").read_text())
    assert {"static/app.js", "predict", "model", "docs"} <= set(links)
    assert not [link for link in links if link.startswith("/") or ":" in link]


def test_where_a_key_is_needed_the_page_asks_for_it(page: Page, tmp_path: Path) -> None:
    key = "a key that a lecturer wrote on the board"
    entry = f"class:predict:{hashlib.sha256(key.encode()).hexdigest()}"
    page.forgiven = "401"
    publish(tmp_path)
    with Server(tmp_path, keys=entry) as server:
        page.open(f"http://127.0.0.1:{server.port}")
        page.wait(page.find("#key").is_displayed, "it never asked")
        page.find("#secret").send_keys("a wrong key")
        page.find("#key button").click()
        page.wait_for("#layers", "wrong")
        page.wait(page.find("#key").is_displayed, "it did not ask again")
        page.find("#secret").send_keys(key + Keys.ENTER)
        page.wait_for("#facts", "digits, version 1")
        page.draw(LINE)
        page.answer()
        assert not page.find("#key").is_displayed()
        page.driver.execute_script("sessionStorage.clear()")
