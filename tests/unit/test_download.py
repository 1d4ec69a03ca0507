"""Fetching the published files, from a server on this machine that does what servers and networks do."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from resnet50_triton.download import ATTEMPTS, PublishedFile, fetch
from resnet50_triton.errors import SetupError

CONTENT = bytes(range(256)) * 12_000  # 3 MB
MD5 = hashlib.md5(CONTENT).hexdigest()
CUT = 1_000_000


class FileServer(ThreadingHTTPServer):
    """Serves CONTENT at any path; what it does besides is set by the attributes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.ranges = True  # knows the header Range
        self.cuts = 0  # so many answers end after CUT bytes
        self.errors: list[int] = []  # answers before any other
        self.content = CONTENT
        self.asked: list[tuple[str, str | None]] = []  # path, Range


class Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append((self.path, wanted))
        if self.path == "/link":  # as the published ones: a link that leads elsewhere
            self.send_response(301)
            self.send_header("Location", f"{server.url}/file")
            self.end_headers()
            return
        if server.errors:
            self.send_error(server.errors.pop(0))
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        if start and start >= len(server.content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("Content-Length", str(len(server.content) - start))
        self.end_headers()
        body = server.content[start:]
        if server.cuts:
            server.cuts -= 1
            body = body[:CUT]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[FileServer]:
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def published(server: FileServer, md5: str = MD5, path: str = "file") -> PublishedFile:
    return PublishedFile("card.xclbin", f"{server.url}/{path}", md5)


def test_the_whole_file_through_a_link(server: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch(
        published(server, path="link"), tmp_path / "new" / "folder", lambda here, whole: seen.append((here, whole))
    )
    assert path == tmp_path / "new" / "folder" / "card.xclbin"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert list(path.parent.iterdir()) == [path]


def test_what_is_there_is_not_fetched_again(server: FileServer, tmp_path: Path) -> None:
    fetch(published(server), tmp_path)
    said: list[str] = []
    fetch(published(server), tmp_path, say=said.append)
    assert len(server.asked) == 1
    assert "is there already" in said[0]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_connection_is_taken_up_again(server: FileServer, tmp_path: Path, ranges: bool) -> None:
    server.cuts, server.ranges = 2, ranges
    said: list[str] = []
    path = fetch(published(server), tmp_path, say=said.append, pause_s=0)
    assert path.read_bytes() == CONTENT
    wanted = [header for _, header in server.asked]
    assert wanted == [None, f"bytes={CUT}-", f"bytes={2 * CUT if ranges else CUT}-"]
    assert "cut at 1.0 of 3.1 MB; going on at 1.0 MB" in said[0]


def test_a_later_call_goes_on(server: FileServer, tmp_path: Path) -> None:
    server.cuts = 1
    server.errors = []
    with pytest.raises(SetupError, match="410"):
        fetch(published(server), tmp_path, say=lambda _: server.errors.append(410), pause_s=0)
    assert not (tmp_path / "card.xclbin").exists()
    assert fetch(published(server), tmp_path).read_bytes() == CONTENT
    assert server.asked[-1] == ("/file", f"bytes={CUT}-")


def test_a_part_that_is_whole(server: FileServer, tmp_path: Path) -> None:
    """The process was ended between the last byte and the file's name: the server has nothing more (416)."""
    (tmp_path / "card.xclbin.part").write_bytes(CONTENT)
    assert fetch(published(server), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"of another file", bytes(len(CONTENT) + 5)])
def test_a_part_of_another_file_is_thrown_away(server: FileServer, tmp_path: Path, part: bytes) -> None:
    (tmp_path / "card.xclbin.part").write_bytes(part)
    said: list[str] = []
    assert fetch(published(server), tmp_path, say=said.append).read_bytes() == CONTENT
    assert "once more, whole" in said[0]


def test_a_wrong_sum(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(SetupError) as error:
        fetch(published(server, md5="0" * 32), tmp_path)
    assert f"MD5 {MD5}, published is {'0' * 32}" in str(error.value)
    assert f"by hand: open {server.url}/file in a browser" in str(error.value)
    assert not (tmp_path / "card.xclbin").exists()
    assert (tmp_path / "card.xclbin.part").stat().st_size == 0  # nothing to go on with


def test_a_link_that_leads_to_a_page(server: FileServer, tmp_path: Path) -> None:
    server.content = b"<!DOCTYPE html><title>Moved</title>"
    with pytest.raises(SetupError, match="it is a web page: the link leads elsewhere now"):
        fetch(published(server), tmp_path)


def test_another_file_of_that_name_stays(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "card.xclbin").write_text("mine")
    with pytest.raises(SetupError, match="move it away first"):
        fetch(published(server), tmp_path)
    assert (tmp_path / "card.xclbin").read_text() == "mine"


def test_a_dead_link_is_not_tried_again(server: FileServer, tmp_path: Path) -> None:
    server.errors = [404]
    with pytest.raises(SetupError, match=r"the server answers 404 \(Not Found\); by hand: open .* save the file as"):
        fetch(published(server), tmp_path)
    assert len(server.asked) == 1


def test_a_busy_server_is_tried_again(server: FileServer, tmp_path: Path) -> None:
    server.errors = [503, 429, 500]
    assert fetch(published(server), tmp_path, pause_s=0).read_bytes() == CONTENT


def test_it_gives_up(server: FileServer, tmp_path: Path) -> None:
    server.errors = [503] * 20
    with pytest.raises(SetupError, match=f"the server answers 503 .*, {ATTEMPTS} times in a row; by hand"):
        fetch(published(server), tmp_path, pause_s=0)
    assert len(server.asked) == ATTEMPTS


def test_no_server(tmp_path: Path) -> None:
    file = PublishedFile("card.xclbin", "http://127.0.0.1:9/file", MD5)  # discard: nothing listens there
    with pytest.raises(SetupError, match=r"no connection \(.*refused\), 5 times in a row; by hand"):
        fetch(file, tmp_path, pause_s=0)


@pytest.mark.parametrize("url", ["resnet50.xclbin", "http://[::1", "ftp:"])
def test_no_address(tmp_path: Path, url: str) -> None:
    with pytest.raises(SetupError, match="by hand"):
        fetch(PublishedFile("card.xclbin", url, MD5), tmp_path, pause_s=0)


def test_through_a_proxy(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.url)
    file = PublishedFile("card.xclbin", "http://published.invalid/file", MD5)
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    assert server.asked == [("http://published.invalid/file", None)]


def test_two_at_once(server: FileServer, tmp_path: Path) -> None:
    refused: list[str] = []

    def once_more(_here: int, _whole: int | None) -> None:
        if not refused:
            with pytest.raises(SetupError) as error:
                fetch(published(server), tmp_path)
            refused.append(str(error.value))

    assert fetch(published(server), tmp_path, once_more).read_bytes() == CONTENT
    assert "is being written by another download" in refused[0]


def test_a_folder_that_cannot_be_made(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"cannot write .*/file/card\.xclbin: "):
        fetch(published(server), tmp_path / "file")


def test_the_command(server: FileServer, tmp_path: Path) -> None:
    """What the published sums are of is not here: the mirror's file is refused, and nothing is left under its name."""
    arguments = ("download", "-o", str(tmp_path), "--only", "fcweights", "--fcweights-url", f"{server.url}/file")
    command = [sys.executable, "-m", "resnet50_triton.cli", *arguments]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert outcome.returncode == 1, outcome
    assert f"MD5 {MD5}, published is 6bb6d294055e25f378b53298afd7abe9" in outcome.stderr
    assert "by hand" in outcome.stderr
    assert not (tmp_path / "fcweights.csv").exists()
    assert len(server.asked) == 1
