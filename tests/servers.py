"""Servers for tests that are about something else than how a server ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resnet50_triton.server.process import Server


@contextmanager
def running(repository: Path, **options: Any) -> Iterator[Server]:
    """A server that is ready. Killed at the end: Triton's own way looks once a second and takes two or three."""
    with Server(repository, **options) as server:
        server.wait_ready()
        yield server
        server.kill()
