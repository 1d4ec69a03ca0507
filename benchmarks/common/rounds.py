"""Measurements that take turns, so that whatever else the machine does hits all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def in_turns(
    measures: Mapping[str, Callable[[], T]], turns: int, tell: Callable[[int, str, T], None] = lambda *_: None
) -> dict[str, list[T]]:
    """Each measure so many times, one after the other.

    Args:
        measures: by name.
        turns: of each.
        tell: called after each with the turn, from 1 on, the name and the value.
    """
    values: dict[str, list[T]] = {name: [] for name in measures}
    for turn in range(1, turns + 1):
        for name, measure in measures.items():
            values[name].append(measure())
            tell(turn, name, values[name][-1])
    return values
