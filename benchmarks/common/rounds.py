"""Measurements in interleaved rounds, so that whatever else the machine does hits all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def interleave(
    measures: Mapping[str, Callable[[], T]], rounds: int, tell: Callable[[int, str, T], None] = lambda *_: None
) -> dict[str, list[T]]:
    """Measure each once a round, one after the other.

    Args:
        measures: by name.
        rounds: how many.
        tell: called after each with the round, from 1 on, the name and the value.
    """
    values: dict[str, list[T]] = {name: [] for name in measures}
    for number in range(1, rounds + 1):
        for name, measure in measures.items():
            values[name].append(measure())
            tell(number, name, values[name][-1])
    return values
