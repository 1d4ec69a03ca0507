"""The files that the original project publishes, fetched over HTTP: resumed where it was cut, and checked by MD5."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .errors import SetupError

STALL_S = 30.0  # a connection that brings nothing for so long counts as cut
ATTEMPTS = 5  # in a row that bring nothing
PAUSE_S = 1.0  # before the second attempt; doubled each time, up to
LONGEST_PAUSE_S = 16.0
_PIECE_BYTES = 1 << 18
_LASTING = (401, 403, 404, 405, 410, 451)  # answers that trying again does not change

Progress = Callable[[int, int | None], None]  # bytes received, and bytes in all if the server states them


@dataclass(frozen=True)
class PublishedFile:
    """One file: its name here, the link to it, and its MD5 as published beside the link."""

    name: str
    url: str
    md5: str


# As resnet50_triton's forerunner, Xilinx/ResNet50-PYNQ, names them, for the shell xilinx_u250_xdma_201830_2.
XCLBIN = PublishedFile("resnet50.xclbin", "https://bit.ly/3ckbBUd", "f1fe51fbbc7a0af20c4f65bafe7cc9bf")
FCWEIGHTS = PublishedFile("fcweights.csv", "https://bit.ly/2PsHFfE", "6bb6d294055e25f378b53298afd7abe9")


class _Cut(Exception):
    """What may be otherwise the next time."""


def fetch(
    file: PublishedFile,
    directory: Path,
    progress: Progress = lambda _here, _all: None,
    say: Callable[[str], None] = lambda _text: None,
    pause_s: float = PAUSE_S,
) -> Path:
    """Bring a published file into a folder; what an earlier, cut call has brought is not fetched again.

    Proxies are taken from the environment (http_proxy, https_proxy, no_proxy).

    Args:
        file: which.
        directory: where; made where it is not there.
        progress: called now and then.
        say: takes a line about what went wrong and is tried again.
        pause_s: before the second attempt.

    Returns:
        The file's path. It appears under its name only when it is whole and its MD5 is right.

    Raises:
        SetupError: it cannot be had, has another MD5, or cannot be written; the message says what to do by hand.
    """
    target = directory / file.name
    part = directory / f"{file.name}.part"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if target.exists():
            if _md5(target) == file.md5:
                say(f"{target} is there already, with the right MD5")
                return target
            raise SetupError(f"{target} is there with MD5 {_md5(target)}, published is {file.md5}; move it away first")
        with part.open("ab+") as stream:
            _lock(stream, part)
            _fill(file, target, stream, progress, say, pause_s)
            part.replace(target)
    except OSError as error:
        raise SetupError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def by_hand(file: PublishedFile, target: Path) -> str:
    """What to do where the link does not work from here."""
    return (
        f"by hand: open {file.url} in a browser, or take the link that the notebooks of "
        f"https://github.com/Xilinx/ResNet50-PYNQ name now, save the file as {target}, and give this command again, "
        f"which checks its MD5 ({file.md5}); with a mirror of yours, name its address by an option"
    )


def _fill(
    file: PublishedFile,
    target: Path,
    part: BinaryIO,
    progress: Progress,
    say: Callable[[str], None],
    pause_s: float,
) -> None:
    """Make a part the whole file, with the right MD5."""
    attempt, afresh = 1, False
    while True:
        start = part.seek(0, 2)
        try:
            _continue(file.url, part, progress)
        except _Cut as error:
            here = part.seek(0, 2)
            attempt = 1 if here > start else attempt + 1
            if attempt > ATTEMPTS:
                raise SetupError(f"{file.url}: {error}, {ATTEMPTS} times in a row; {by_hand(file, target)}") from error
            pause = min(pause_s * 2 ** (attempt - 1), LONGEST_PAUSE_S)
            say(f"{file.url}: {error}; going on at {here / 1e6:.1f} MB in {pause:.0f} s")
            time.sleep(pause)
            continue
        except _Refused as error:
            raise SetupError(f"{file.url}: {error}; {by_hand(file, target)}") from error
        part.flush()
        found = _md5(Path(part.name))
        if found == file.md5:
            return
        part.seek(0)
        begins = part.read(64)
        part.truncate(0)
        if start and not afresh:
            say(
                f"{target.name}: put together from parts, it has MD5 {found}, published is {file.md5}; once more, whole"
            )
            afresh = True
            continue
        page = "; it is a web page: the link leads elsewhere now" if b"<" in begins[:16] else ""
        raise SetupError(f"{file.url}: MD5 {found}, published is {file.md5}{page}; {by_hand(file, target)}")


class _Refused(Exception):
    """What will not be otherwise the next time."""


def _continue(url: str, part: BinaryIO, progress: Progress) -> None:
    """Append what is missing from a part, or begin again where the server sends the whole.

    Raises:
        _Cut, _Refused: in words.
    """
    start = part.seek(0, 2)
    headers = {"User-Agent": "resnet50-pynq", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        answer = urllib.request.build_opener().open(request, timeout=STALL_S)  # with the proxies of now
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # nothing from there on: the part is whole, or of another file
                return
            why = f"the server answers {error.code} ({error.reason})"
            raise (_Refused if error.code in _LASTING else _Cut)(why) from error
    except urllib.error.URLError as error:
        raise _Cut(f"no connection ({error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(f"no answer ({error or type(error).__name__})") from error
    except ValueError as error:
        raise _Refused(f"no address that can be fetched ({error})") from error
    with answer:
        if start and _first_byte(answer) != start:
            part.truncate(0)
            start = 0
        length = answer.headers.get("Content-Length", "")
        whole = start + int(length) if length.isdecimal() else None
        here = start
        while True:
            try:
                piece = answer.read(_PIECE_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise _Cut(f"cut at {here / 1e6:.1f} MB ({error or type(error).__name__})") from error
            if not piece:
                break
            part.write(piece)
            here += len(piece)
            progress(here, whole)
        part.flush()
    if whole is not None and here < whole:
        raise _Cut(f"cut at {here / 1e6:.1f} of {whole / 1e6:.1f} MB")


def _first_byte(answer: http.client.HTTPResponse) -> int:
    """Where what an answer carries begins in the file."""
    match = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(match[1]) if answer.status == 206 and match else 0


def _lock(part: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SetupError(f"{path} is being written by another download; wait for it, or end it") from None


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
