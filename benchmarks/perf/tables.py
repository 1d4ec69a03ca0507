"""How figures are written: numbers, milliseconds, shares and Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

QUIET = 0.05  # of the cores in use by others while it was measured: no more
QUIET_BEFORE = 0.5  # of the cores by the load average before it, where the program does not count others


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]


def number(value: float | None) -> str:
    """With three digits at least; "-" for None."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds, without the unit."""
    return number(1e3 * seconds)


def machine_state(made: Mapping[str, Any]) -> str:
    """How much others used the machine; bold where that is enough to change the figures."""
    machine = made["machine"]
    before = machine.get("load_average_before")
    if "others_busy" in machine:
        share = machine["others_busy"]
        text, is_quiet = f"others used {share:.0%} of the cores", share <= QUIET
    elif before is None:
        text, is_quiet = "others used the machine", False
    else:
        text, is_quiet = f"load average {before:g} before", before <= QUIET_BEFORE * machine["cores"]
    return text if is_quiet else f"**{text}**"


def origin(made: Mapping[str, Any]) -> str:
    """Command, date and machine of a result, in a line."""
    machine = made["machine"]
    state = machine_state(made).replace("**", "")
    return f"*`{made['command']}`, {made['date'][:10]}, {machine['cores']} cores of an {machine['cpu']}, {state}.*"
