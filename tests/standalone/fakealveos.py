"""A machine with Alveos, as far as choosing one goes: a kind of card whose names are in `SHELLS`."""

from __future__ import annotations

from types import SimpleNamespace

SHELLS: list[str] = []


def open_device(index: int, threads: int | None = None) -> SimpleNamespace:  # noqa: ARG001
    return SimpleNamespace(name=SHELLS[index])


def count_devices() -> int:
    return len(SHELLS)
