"""The page in a real Chromium: every way to bring a photo, errors in words, load, a server that goes and comes back."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client_support import CORRUPT
from resnet50_client.accuracy import Proportion
from resnet50_client.plots import histogram, intervals
from resnet50_client.report import STYLE
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Ports, Server
from servers import running
from test_page import opened

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEXT = "make browser installs it"
if not CHROMIUM:
    pytest.skip(f"no chromium ({NEXT})", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason=f"no playwright ({NEXT})")

pytestmark = pytest.mark.server
DEADLINE_MS = 120_000
FLAGS = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]  # a camera that shows a test picture
SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "page"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, without a window."""
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


class Tab:
    """A tab with the page; it notes what goes elsewhere, and what the browser complains of."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.url = f"http://{address}/"
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(DEADLINE_MS)
        self.elsewhere: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self._note(request.url))
        self.page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        # Asked for well before it is needed: Chromium may take a key before what Playwright sends with the question.
        self.choosers: list[Any] = []
        self.page.on("filechooser", lambda chooser: self.choosers.append(chooser))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(self.url)

    def _note(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.elsewhere.append(url)

    def drop(self, *files: Path) -> None:
        """As from the desktop: Chromium gets the paths, and hands the page the files."""
        box = self.page.locator("#drop").bounding_box()
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        session = self.context.new_cdp_session(self.page)
        for kind in ("dragEnter", "dragOver", "drop"):
            where = {"x": box["x"] + 20, "y": box["y"] + 20}
            session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **where})

    def wait(self, expression: str) -> None:
        """Until it is true in the page. Playwright's own wait evaluates text there, which the page's policy forbids."""
        deadline = time.monotonic() + DEADLINE_MS / 1000
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"{expression}\n{self.page.inner_text('main')}\n{self.complaints}"
            self.page.wait_for_timeout(50)

    def wait_for_chooser(self) -> Any:
        """The dialog for files that the page has opened."""
        deadline = time.monotonic() + DEADLINE_MS / 1000
        while not self.choosers:
            assert time.monotonic() < deadline, "no dialog for files"
            self.page.wait_for_timeout(50)
        return self.choosers.pop()

    def wait_for_answers(self, count: int) -> None:
        self.wait(f"document.querySelectorAll('.tile img').length === {count}")

    def answers(self) -> dict[str, str]:
        """The best class by file name."""
        rows = self.page.locator(".tile:has(img)").all()
        return {row.locator(".file").inner_text(): row.locator("h2").inner_text() for row in rows}


@pytest.fixture(scope="module")
def address(server: Server) -> Iterator[str]:
    """A page of the server with the sample."""
    with opened(server.grpc_url) as page:
        yield page.address


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Tab]:
    """A tab with that page; nothing went elsewhere in the end."""
    tab = Tab(browser, address)
    yield tab
    assert tab.elsewhere == []
    tab.context.close()


@pytest.fixture
def ten(sample: Path) -> dict[str, Path]:
    """Ten pictures of ten classes."""
    return {file.name[:-8].replace("_", " "): file for file in sorted((sample / "images").glob("*_01.JPEG"))[::3][:10]}


def test_the_other_ways_to_bring_a_photo(tab: Tab, ten: dict[str, Path]) -> None:
    """By keyboard, from the clipboard and from the camera."""
    page, (name, file) = tab.page, next(iter(ten.items()))
    page.locator("#choose").focus()
    page.keyboard.press("Enter")
    tab.wait_for_chooser().set_files(file)
    tab.wait_for_answers(1)
    assert tab.answers() == {file.name: name}
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(  # the first tile's picture, as an image editor would put it there
        "async () => { const image = document.querySelector('.tile img'), canvas = document.createElement('canvas');"
        "canvas.width = canvas.height = 224; canvas.getContext('2d').drawImage(image, 0, 0);"
        "const blob = await new Promise(done => canvas.toBlob(done, 'image/png'));"
        "await navigator.clipboard.write([new ClipboardItem({'image/png': blob})]) }"
    )
    page.keyboard.press("Control+V")
    tab.wait_for_answers(2)
    assert list(tab.answers().values()) == [name, name]
    page.locator("#camera").click()
    tab.wait("document.querySelector('#video').videoWidth > 0")
    page.locator("#shoot").click()
    tab.wait_for_answers(3)
    assert page.locator("#booth").is_hidden()
    assert tab.complaints == []


def test_ten_photos_are_dropped(tab: Tab, ten: dict[str, Path]) -> None:
    tab.drop(*ten.values())
    tab.wait_for_answers(10)
    assert tab.answers() == {file.name: name for name, file in ten.items()}
    first = tab.page.locator(".tile").first
    assert first.locator("li").count() == 5
    assert first.locator("img").evaluate("image => [image.naturalWidth, image.naturalHeight]") == [224, 224]
    assert {"preprocess", "resnet50"} <= {text.split()[0] for text in first.locator(".legend span").all_inner_texts()}
    assert "card software:0 · xclbin" in first.locator(".origin").inner_text()
    assert "sample network: knows 32 drawn classes" in tab.page.locator("#sample").inner_text()
    assert tab.page.locator("#count").inner_text().startswith("10 photos")
    assert tab.complaints == []
    tab.page.locator("#clear").click()
    assert tab.page.locator(".tile").count() == 0


def test_a_broken_file_gets_its_reason(tab: Tab, ten: dict[str, Path], tmp_path: Path) -> None:
    name, good = next(iter(ten.items()))
    broken, empty = tmp_path / "broken.jpg", tmp_path / "empty.png"
    broken.write_bytes(CORRUPT)
    empty.touch()
    tab.page.set_input_files("#files", [broken, good, empty])
    tab.wait_for_answers(1)
    tab.wait("document.querySelectorAll('.failed .error').length === 2")
    assert tab.answers() == {good.name: name}
    reasons = {
        tile.locator(".file").inner_text(): tile.locator(".error").inner_text()
        for tile in tab.page.locator(".failed").all()
    }
    assert "jpeg" in reasons["broken.jpg"]
    assert "0 bytes" in reasons["empty.png"]


def test_the_load_is_shown_live(tab: Tab) -> None:
    slider = tab.page.locator("#slider")
    slider.focus()
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("ArrowRight")
    assert tab.page.locator("#inflight").inner_text() == "2 in flight"
    tab.wait("parseFloat(document.querySelector('#rate').textContent) > 0")
    tab.wait("document.querySelector('#p50').textContent.endsWith('ms')")
    tab.wait("document.querySelector('#rates').getAttribute('points').split(' ').length > 2")
    tab.page.keyboard.press("Home")
    assert tab.page.locator("#inflight").inner_text() == "off"
    assert tab.page.locator("#trouble").is_hidden()


def test_a_page_that_ends_during_a_load(browser: Any, server: Server, ten: dict[str, Path]) -> None:
    """It is told in words, the figures are no longer shown, and a photo waits."""
    with opened(server.grpc_url) as page:
        tab = Tab(browser, page.address)
        tab.page.locator("#slider").fill("3")
        tab.wait("parseFloat(document.querySelector('#rate').textContent) > 0")
    tab.wait("document.querySelector('#trouble').textContent.includes('does not answer')")
    assert tab.page.locator("#inflight").inner_text() == "off"
    assert [tab.page.locator(name).inner_text() for name in ("#rate", "#p50", "#p99")] == 3 * ["\N{EN DASH}"]
    tab.page.set_input_files("#files", next(iter(ten.values())))
    tab.wait("document.querySelector('.failed.wait .error')?.textContent.includes('sent again')")
    tab.context.close()


def test_what_is_no_file_is_told(tab: Tab) -> None:
    tab.page.evaluate("navigator.clipboard.writeText('cat.jpg')")
    tab.page.keyboard.press("Control+V")
    tab.wait("document.querySelector('.failed .error')?.textContent.includes('no file')")


@pytest.mark.long
def test_a_server_that_goes_and_comes_back(browser: Any, sample: Path, ten: dict[str, Path], tmp_path: Path) -> None:
    """It is told; what was dropped meanwhile is answered when it is back."""
    repository, ports = Deployment.of_sample(sample).make_repository(tmp_path / "models"), Ports.free()
    with contextlib.ExitStack() as stack:
        with running(repository, ports=ports) as server:
            tab = Tab(browser, stack.enter_context(opened(server.grpc_url)).address)
            tab.wait("document.querySelector('#status').className === 'up'")
        check_return(tab, repository, ports, ten)


def check_return(tab: Tab, repository: Path, ports: Ports, ten: dict[str, Path]) -> None:
    tab.wait("document.querySelector('#status').className === 'down'")
    assert "is unavailable" in tab.page.locator("#status").inner_text()
    tab.drop(*ten.values())
    tab.wait("document.querySelectorAll('.failed.wait').length === 10")
    assert "sent again" in tab.page.locator(".failed .error").first.inner_text()
    with running(repository, ports=ports):
        tab.wait_for_answers(10)
        assert tab.answers() == {file.name: name for name, file in ten.items()}
        assert tab.page.locator("#status").get_attribute("class") == "up"
    tab.context.close()


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_no_label_of_a_plot_is_cut(browser: Any, width: int) -> None:
    """In the report, whose plots clip what reaches beyond them."""
    values = np.array([29.4, 1e6, 527_586.0])
    marks = [("p50 1,053 ms", 1e6), ("p90 1,713 ms", 0.0)]
    plots = histogram([("wrong", "--bad", values)], "ms", marks) + intervals([("top-1", Proportion(1, 1))])
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_content(f"<style>{STYLE}</style>{plots}")
    cut = page.evaluate(
        "[...document.querySelectorAll('svg text')].filter(text => { const t = text.getBoundingClientRect(), "
        "s = text.closest('svg').getBoundingClientRect(); return t.left < s.left || t.right > s.right || "
        "t.top < s.top || t.bottom > s.bottom }).map(text => text.textContent)"
    )
    page.close()
    assert cut == []


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen(
    browser: Any,
    address: str,
    ten: dict[str, Path],
    tmp_path: Path,
    width: int,
    height: int,
    scheme: str,
) -> None:
    """Nothing is wider than the screen. PAGE_SCREENSHOTS=1 keeps the pictures in build/page."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(CORRUPT)
    options = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
    tab = Tab(browser, address, **options)
    tab.page.set_input_files("#files", [*list(ten.values())[:3], broken, list(ten.values())[3]])
    tab.wait_for_answers(4)
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    colour = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, colour[4:-1].split(","))) > 384) == (scheme == "light")
    if os.environ.get("PAGE_SCREENSHOTS"):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        tab.page.screenshot(path=SCREENSHOTS / f"{width}-{scheme}.png", full_page=True)
    tab.context.close()
