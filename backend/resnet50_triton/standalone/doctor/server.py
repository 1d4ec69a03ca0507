"""Checks whether a tritonserver can be started here, and whether one is running."""

from __future__ import annotations

import json
import platform
import resource
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...tensors import PIXELS_SIZE_BYTES
from .finding import DEFAULT_URL, FAILED, NOTE, OK, WARNING, Finding, Wanted
from .repository import MODELS

BUNDLE_GLIBC = (2, 35)  # the wheel's platform tag, manylinux_2_35
_BATCH = 128  # max_batch_size in model_repository/
# Pixels go from preprocess to resnet50 through /dev/shm, a copy on either side; while one batch is computed, the next
# is in flight.
SHM_BYTES = 2 * 2 * _BATCH * PIXELS_SIZE_BYTES
_TIMEOUT_S = 3.0


def libpython(_: Wanted) -> Iterator[Finding]:
    """Whether Python's shared library is there, which the Python backend of the bundled server loads."""
    from ...server.installation import shared_libpython

    yield Finding("libpython", OK, str(shared_libpython()))


def tritonserver(_: Wanted) -> Iterator[Finding]:
    """Whether a tritonserver is there and its libraries load."""
    from ...server.installation import find_server

    installation = find_server()
    found = str(installation.binary)
    if installation.bundle:
        version = tuple(int(part) for part in platform.libc_ver()[1].split(".")[:2] if part.isdecimal())
        if version < BUNDLE_GLIBC:
            yield Finding(
                "tritonserver",
                FAILED,
                f"{found} needs glibc 2.35, here is {' '.join(platform.libc_ver())}",
                "use Debian 12 or Ubuntu 22.04 or newer, or name another server: TRITONSERVER=/path/to/tritonserver",
            )
            return
        with tempfile.TemporaryDirectory() as scratch:
            installation.make_backend_directory(Path(scratch))  # raises where it has no stub for this Python
        found += f" of nvidia-pytriton {metadata.version('nvidia-pytriton')}"
    ran = subprocess.run(
        [installation.binary, "--help"],
        env=installation.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "--model-repository" in ran.stdout + ran.stderr:  # the exit code of --help is 1 in some versions
        yield Finding("tritonserver", OK, found)
    else:
        said = next(iter((ran.stderr or ran.stdout).splitlines()), "nothing")
        yield Finding(
            "tritonserver",
            FAILED,
            f"{found} does not run: it ends with {ran.returncode} and says '{said}'",
            "install the library that it misses, or take the bundled one: unset TRITONSERVER, "
            "pip install 'resnet50-pynq-triton[server]'",
        )


def limits(_: Wanted) -> Iterator[Finding]:
    """Whether the limits of this shell let a server start."""
    from ...server.limits import check_limits

    check_limits()  # raises
    yield Finding("limits", OK, f"{resource.getrlimit(resource.RLIMIT_NOFILE)[0]} open files")


def temporary_files(_: Wanted) -> Iterator[Finding]:
    """Whether a server has a place for its files and regions; what killed servers left there is removed."""
    from ...server.scratch import Scratch

    with Scratch() as scratch:  # raises
        yield Finding("temporary files", OK, str(scratch.folder.parent))


def shared_memory(_: Wanted, folder: Path = Path("/dev/shm"), needed: int = SHM_BYTES) -> Iterator[Finding]:
    """Whether /dev/shm holds the batches in flight; Docker's own limit of 64 MB does not."""
    fix = "docker run --shm-size=1g; in Kubernetes an emptyDir with medium: Memory on /dev/shm"
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        yield Finding("shared memory", FAILED, f"{folder}: {error.strerror}", fix)
        return
    found = f"{folder} has {usage.free >> 20} of {usage.total >> 20} MiB free"
    if usage.free < needed:
        found += f", batches of {_BATCH} images need {needed >> 20}"
        yield Finding("shared memory", WARNING, found, fix)
    else:
        yield Finding("shared memory", OK, found)


def reachable(wanted: Wanted) -> Iterator[Finding]:
    """Whether a server is running with all the models; without --url it need not be."""
    url = (wanted.url or DEFAULT_URL).rstrip("/")
    if "://" not in url:
        url = f"http://{url}"
    try:
        about = _get(f"{url}/v2")
        if not isinstance(about, dict) or "version" not in about:
            raise ValueError("what answers is not a tritonserver")
        missing = [model for model in MODELS if not _is_ready(f"{url}/v2/models/{model}/ready")]
    except (OSError, ValueError, HTTPException) as error:
        found = f"no tritonserver at {url}: {getattr(error, 'reason', error)}"
        fix = "start one ('resnet50-pynq serve'), or correct --url: the HTTP address is needed, not that of gRPC"
        yield Finding("server", FAILED, found, fix) if wanted.url else Finding("server", NOTE, found)
        return
    version = f"{about.get('name')} {about.get('version')} at {url}"
    if missing:
        yield Finding(
            "server",
            FAILED if wanted.url else WARNING,
            f"{version}: not ready: {', '.join(missing)}",
            "its log says why; 'resnet50-pynq serve' shows the errors of a server that does not start",
        )
        return
    parameters = _get(f"{url}/v2/models/resnet50/config").get("parameters", {})
    card = parameters.get("card", {}).get("string_value", "its default card")
    yield Finding("server", OK, f"{version}: {', '.join(MODELS)} are ready, on {card}")


def _get(url: str) -> Any:
    with _open(url) as answer:
        return json.load(answer)


def _open(url: str) -> Any:
    # No proxy between this process and this machine.
    proxies: dict[str, str] | None = {} if urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost") else None
    return urllib.request.build_opener(urllib.request.ProxyHandler(proxies)).open(url, timeout=_TIMEOUT_S)


def _is_ready(url: str) -> bool:
    try:
        with _open(url) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False
