"""`resnet50-client page` without a browser: who may ask it, what it answers, and what it says of bad input."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from client_support import COMMAND, CORRUPT, Run, heed_interrupts
from PIL import Image
from resnet50_client.page.site import is_loopback
from resnet50_triton.decode import decode_image
from resnet50_triton.server.process import Server

pytestmark = pytest.mark.server
DEADLINE_S = 120.0


class Page:
    """Asks a page as its own script does, or not quite."""

    def __init__(self, url: str) -> None:
        self.address = urlsplit(url).netloc

    def ask(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        """Status, text or JSON, headers."""
        connection = http.client.HTTPConnection(self.address, timeout=DEADLINE_S)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"X-Resnet50-Page": "1", **named})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, json.loads(text) if "json" in answer.headers["content-type"] else text, answer.headers

    def wait_for(self, path: str, status: int) -> Any:
        deadline = time.monotonic() + DEADLINE_S
        while (answer := self.ask("GET", path))[0] != status:
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)
        return answer[1]


@contextlib.contextmanager
def opened(url: str, *more: object) -> Iterator[Page]:
    """A page of the server at `url`, as a process of its own, ended by Ctrl-C."""
    command = [*COMMAND, "page", "--port", "0", "--url", url, *map(str, more)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)
    assert process.stdout
    yield Page(process.stdout.readline().split()[0])
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 0


@pytest.fixture(scope="module")
def page(server: Server) -> Iterator[Page]:
    """A page of the server with the sample."""
    with opened(server.grpc_url) as page:
        yield page


def test_only_its_own_script_and_style_run(page: Page) -> None:
    status, html, headers = page.ask("GET", "/")
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert status == 200
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.S)
        assert policy[f"{tag}-src"] == f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
    assert "://" not in html
    assert re.findall(r"\s(?:src|href)=\"(?!data:)", html) == []


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8003", "127.0.0.1.evil.example", "192.168.0.1", "", "["]
)
@pytest.mark.parametrize("path", ["/", "/status", "/load?concurrency=1"])
def test_another_name_for_this_machine_is_refused(page: Page, host: str, path: str) -> None:
    status, answer, _ = page.ask("GET", path, Host=host)
    assert status in (400, 403)
    assert status == 400 or "is not this machine" in answer["error"]


@pytest.mark.parametrize("host", ["localhost", "localhost:8003", "127.0.0.1:8003", "127.1.2.3", "[::1]:8003"])
def test_this_machine_by_its_names(host: str) -> None:
    assert is_loopback(host)


def test_another_sites_page_may_not_ask(page: Page, jpegs: list[Path]) -> None:
    """Its requests cannot carry the header without a preflight, which gets no consent."""
    connection = http.client.HTTPConnection(page.address, timeout=DEADLINE_S)
    for method, path in (
        ("GET", "/status"),
        ("GET", "/load?concurrency=1"),
        ("POST", "/classify"),
        ("OPTIONS", "/status"),
    ):
        connection.request(method, path, jpegs[0].read_bytes(), {"Origin": "http://evil.example"})
        answer = connection.getresponse()
        assert answer.status == 403
        assert answer.headers["Access-Control-Allow-Origin"] is None
        answer.read()
    connection.close()


def test_the_status_says_what_is_served(page: Page, server: Server) -> None:
    status, told, _ = page.ask("GET", "/status")
    assert status == 200
    assert told["cards"] == ["software:0"]
    assert re.fullmatch(r"[0-9a-f]{32}", told["xclbins"][0])
    assert server.grpc_url in told["url"]
    assert told["sample"].startswith("sample network: knows 32 drawn classes")


def test_a_photo(page: Page, jpegs: list[Path], stock_ranks: dict[str, list[int]]) -> None:
    """Its classes, and the very pixels that the network got."""
    status, answer, _ = page.ask("POST", "/classify", jpegs[0].read_bytes())
    assert status == 200
    assert [top["id"] for top in answer["top"]] == stock_ranks[jpegs[0].name][:5]
    shown = np.asarray(Image.open(io.BytesIO(b64decode(answer["picture"].partition(",")[2]))))
    np.testing.assert_array_equal(shown, decode_image(jpegs[0].read_bytes())[..., ::-1])
    assert [name for name, _ in answer["stages_ms"]] == ["preprocess", "resnet50"]
    assert answer["xclbin"]


def test_names_where_the_card_ranks(top5_server: Server, sample: Path, tmp_path: Path) -> None:
    """Those of `serve --labels`, or of --names."""
    (tmp_path / "names.txt").write_text("\n".join(f"name {i}" for i in range(1000)))
    picture = (sample / "images" / "dice_01.JPEG").read_bytes()
    for more, name in (((), "dice"), (("--names", tmp_path / "names.txt"), "name 9")):
        with opened(top5_server.grpc_url, *more) as page:
            top = page.ask("POST", "/classify", picture)[1]["top"]
            assert (top[0]["name"], top[0]["score"], len(top)) == (name, None, 5)


def test_the_time_is_that_of_all_stages(page: Page, jpegs: list[Path]) -> None:
    with Image.open(jpegs[0]) as picture:
        picture.save(buffer := io.BytesIO(), "TIFF")
    answer = page.ask("POST", "/classify", buffer.getvalue())[1]
    assert [name for name, _ in answer["stages_ms"]] == ["decoding here", "preprocess", "resnet50"]
    assert answer["latency_ms"] == pytest.approx(sum(ms for _, ms in answer["stages_ms"]), rel=0.01)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [(CORRUPT, 400, "jpeg"), (b"", 400, "0 bytes"), (b"no image", 400, "image"), (bytes(33 << 20), 413, "32 MiB")],
    ids=["corrupt", "empty", "text", "large"],
)
def test_a_bad_photo_gets_its_reason(page: Page, jpegs: list[Path], body: bytes, status: int, reason: str) -> None:
    found, answer, headers = page.ask("POST", "/classify", body)
    assert found == status
    assert reason in answer["error"]
    assert "Content-Security-Policy" in headers
    assert page.ask("POST", "/classify", jpegs[0].read_bytes())[0] == 200


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("DELETE", "/status"), ("GET", "/classify")])
def test_any_other_request(page: Page, method: str, path: str) -> None:
    status, answer, _ = page.ask(method, path)
    assert status in (404, 405)
    assert path in answer["error"]


@pytest.mark.parametrize("text", ["0", "65", "-1", "x", ""])
def test_a_load_out_of_range(page: Page, text: str) -> None:
    status, answer, _ = page.ask("GET", f"/load?concurrency={text}")
    assert status == 400
    assert "1 to 64" in answer["error"]


def figures(page: Page, concurrency: int) -> Iterator[dict[str, Any]]:
    connection = http.client.HTTPConnection(page.address, timeout=DEADLINE_S)
    connection.request("GET", f"/load?concurrency={concurrency}", headers={"X-Resnet50-Page": "1"})
    with connection.getresponse() as answer:
        while line := answer.readline():
            yield json.loads(line)
    connection.close()


def test_a_load_ends_with_its_connection(fast_server: Server) -> None:
    with opened(fast_server.grpc_url) as page:
        check_load(page, fast_server)


def check_load(page: Page, fast_server: Server) -> None:
    stream = figures(page, 4)
    deadline = time.monotonic() + DEADLINE_S
    for seen in stream:
        assert time.monotonic() < deadline, seen
        if seen["images_s"] > 0:
            break
    assert 0 < seen["p50_ms"] <= seen["p99_ms"]
    stream.close()
    before = None
    while before != (now := answered(fast_server)):  # until nothing comes for a second
        assert time.monotonic() < deadline, now
        before = now
        time.sleep(1)


def answered(server: Server) -> int:
    connection = http.client.HTTPConnection(server.http_url, timeout=DEADLINE_S)
    connection.request("GET", "/v2/models/classify/stats")
    (stats,) = json.loads(connection.getresponse().read())["model_stats"]
    connection.close()
    return int(stats["inference_count"])


def test_a_server_that_goes_and_comes_back(restartable: Callable[[], Server]) -> None:
    server = restartable()
    server.kill()
    with opened(server.grpc_url) as page:  # the page is there before the server is
        check_return(page, server, restartable)


def check_return(page: Page, server: Server, restartable: Callable[[], Server]) -> None:
    status, answer, _ = page.ask("GET", "/status")
    assert status == 503
    assert server.grpc_url in answer["error"]
    server = restartable()
    page.wait_for("/status", 200)
    stream = figures(page, 2)
    next(seen for seen in stream if seen["images_s"] > 0)
    server.kill()
    assert "unavailable" in next(seen for seen in stream if seen["error"])["error"]
    page.wait_for("/status", 503)
    restartable()
    page.wait_for("/status", 200)
    assert next(seen for seen in stream if seen["images_s"] > 0 and not seen["error"])
    stream.close()


def test_serve_prints_what_to_try(sample: Path) -> None:
    """A command that classifies a file, and one for the page; both work as they are printed."""
    command = [sys.executable, "-m", "resnet50_triton.cli", "serve", "--sample", str(sample), "--free-ports"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        lines = list(iter(process.stdout.readline, "Ctrl-C ends it\n"))
        classify, page = [shlex.split(line.removeprefix("  try")) for line in lines[-2:]]
        assert [classify[1], page[1]] == ["classify", "page"]
        done = subprocess.run(classify, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
        assert Path(classify[2]).stem.rpartition("_")[0].replace("_", " ") in done.stdout
        with opened(page[-1]) as opened_page:
            assert opened_page.ask("GET", "/status")[0] == 200
    finally:
        process.terminate()
        process.communicate()


def test_what_the_command_refuses(run: Run, page: Page) -> None:
    port = page.address.rpartition(":")[2]
    for words, reason in (
        (["--port", port], "choose another with --port"),
        (["--url", "a", "--url", "b"], "one --url"),
    ):
        done = run("page", *words)
        assert done.returncode == 2
        assert reason in done.stderr
