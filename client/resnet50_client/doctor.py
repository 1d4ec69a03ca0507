"""Checks this machine and the server; each finding that is wrong names its fix."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resnet50_client.api import TINY_PNG, AsyncClient
from resnet50_client.errors import ClientError
from resnet50_client.shm import FOLDER
from resnet50_client.summary import UNTOLD
from resnet50_client.version import __version__

OLDEST_PYTHON = (3, 10)
PACKAGES = ("tritonclient", "numpy", "rich", "pillow")
SHM_NEEDED_BYTES = 64 << 20


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    ok: bool
    what: str
    found: str
    fix: str = ""

    @property
    def line(self) -> str:
        """For the screen."""
        return f"{'ok  ' if self.ok else 'BAD '}  {self.what}: {self.found}"


def diagnose(server: Mapping[str, Any], model: Mapping[str, Any]) -> Iterator[Finding]:
    """Look at everything, one after the other; what depends on something broken is left out.

    Args:
        server: options of AsyncClient that say where the server is.
        model: those that say how to use it.
    """
    yield from _this_machine(bool(model.get("pixels")))
    findings = _server({**server, **model})
    loop = asyncio.new_event_loop()
    try:
        while (finding := loop.run_until_complete(anext(findings, None))) is not None:
            yield finding
    finally:
        loop.close()


def _this_machine(pixels: bool) -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        sys.version_info >= OLDEST_PYTHON, "python", f"{python} at {sys.executable}", "use Python 3.10 or newer"
    )
    yield Finding(True, "resnet50-client", __version__)
    for name in PACKAGES:
        try:
            yield Finding(True, name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(False, name, "is not installed", f"pip install {name}")
    if importlib.util.find_spec("cv2"):
        yield Finding(True, "opencv", "is installed, --pixels works")
    else:
        fix = "pip install 'resnet50-client[pixels]'"
        yield Finding(not pixels, "opencv", "is not installed, --pixels does not work", fix)
    if sys.platform != "linux":
        yield Finding(True, str(FOLDER), "is Linux's, --shm does not work here")
    elif not os.access(FOLDER, os.W_OK):
        yield Finding(False, str(FOLDER), "cannot be written, --shm does not work", f"mount a tmpfs at {FOLDER}")
    else:
        free = shutil.disk_usage(FOLDER).free
        fix = f"make room in {FOLDER}, in a container start it with --shm-size=1g"
        yield Finding(free >= SHM_NEEDED_BYTES, str(FOLDER), f"{free >> 20} MiB free", fix)


async def _server(options: Mapping[str, Any]) -> AsyncGenerator[Finding, None]:
    try:
        client = AsyncClient(**options)
        async with client:
            for url, reason in client.unreachable.items():
                yield Finding(False, f"server {url}", reason, "start it (make serve), or leave it out")
            info = await client.describe()
            yield Finding(True, "server", f"{info.server} at {info.url}")
            yield Finding(True, "model", info.model)
            yield Finding(True, "card", ", ".join(info.cards) or "the configuration does not name it")
            yield Finding(True, "xclbin", ", ".join(info.xclbins) or "the configuration does not name it")
            names = len(client.names)
            is_fine = names > 0 or client.classes < 10  # names are optional where the card itself ranks
            yield Finding(is_fine, "class names", f"{names or 'none'}", "serve with --labels NAMES, or use --names")
            yield await _first_answer(client)
    except ClientError as error:
        yield Finding(False, "server", str(error), _fix(error))


async def _first_answer(client: AsyncClient) -> Finding:
    started = time.perf_counter()
    prediction = (await client.classify([TINY_PNG]))[0]
    took_ms = 1e3 * (time.perf_counter() - started)
    if prediction.error is not None:
        return Finding(False, "an image", prediction.error, "see the server's log, and `resnet50-pynq doctor` there")
    told = prediction.provenance
    by = f"card {told.card}, on it {(told.download_end_ns - told.upload_start_ns) / 1e6:.1f} ms" if told else UNTOLD
    return Finding(True, "an image", f"answered in {took_ms:.1f} ms ({by})")


def _fix(error: ClientError) -> str:
    text = str(error).partition(" (is the server")[0].lower()
    if "ssl" in text or "certificate" in text or "tls" in text:
        return "check --tls-ca, and that --url says grpcs:// or https:// exactly if the server speaks TLS"
    if "ready models" in text:
        return "name one of the ready models with --model, or look in the server's log why it is not loaded"
    if "unauth" in text or re.search(r"(?<![:\d])40[13]\b", text):  # the status, not a port
        return "check --token-file or --header"
    return "start the server (make serve, or resnet50-pynq serve), and give its address with --url"
