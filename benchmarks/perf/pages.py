"""The measured tables of docs/faults.md and docs/fleet.md, each from one program's JSON. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.perf.tables import origin, table

END = "<!-- end of figures -->"
_GROWTH = {
    "stub_mb": "MB of the model's process",
    "stub_files": "open files of it",
    "stub_threads": "threads of it",
    "server_mb": "MB of the server",
    "server_files": "open files of it",
    "shm_mb": "MB in /dev/shm",
}
_NOTES = ("drained", "stopped", "noticed", "back")  # of a phase of the fleet


def replace(text: str, command: str, lines: Sequence[str]) -> str:
    """A page with the lines between `<!-- figures: COMMAND -->` and the end's mark replaced.

    Raises:
        ValueError: where the page lacks one of the two.
    """
    mark = f"<!-- figures: {command} -->\n"
    before, found, rest = text.partition(mark)
    _, end, after = rest.partition(END)
    if not (found and end):
        raise ValueError(f"no '{mark.strip()}' with '{END}' behind it")
    return f"{before}{mark}\n" + "\n".join(lines).strip() + f"\n\n{END}{after}"


def faults(result: Mapping[str, Any]) -> list[str]:
    """Every fault, a row each: what it does to one card alone, with a standby, and to one of two.

    A case that was run in one set-up only has settings of its own, which its title names: these are a second table.
    """
    setups: dict[str, dict[str, Any]] = {}
    for row in result["rows"]:
        setups.setdefault(row["setup"], {})[row["case"]] = row
    first, *others = setups.values()
    rows, single = [], []
    for case, row in first.items():
        cells = [case, _answers(row), f"{row['longest_s']:.2f} s", _back(row)]
        elsewhere = [other[case] for other in others if case in other]
        for other in elsewhere:
            cells += [_answers(other), f"{other['longest_s']:.2f} s"]
        (rows if elsewhere else single).append(cells)
    names = list(setups)
    head = ["fault", f"{names[0]}: right", "longest answer", "works again after"]
    for name in names[1:]:
        head += [f"{name}: right", "longest answer"]
    tables = [*table(head, rows)] if rows else []
    if single:
        tables += ["", *table(["case with settings of its own", "right", *head[2:4]], single)]
    return [origin(result["made"]), "", *tables]


def _back(row: Mapping[str, Any]) -> str:
    if row["recovery_s"] is not None:
        return f"{row['recovery_s']:.2f} s"
    return "-" if row["recovered"] else "does not"


def _answers(row: Mapping[str, Any]) -> str:
    """ "148 of 162, 14 UNAVAILABLE": and what else was not right."""
    parts = [f"{row['right']} of {row['sent']}"]
    parts += [f"{count} {code}" for code, count in sorted(row["codes"].items())]
    parts += [f"**{row[name]} {name}**" for name in ("wrong", "lost") if row[name]]
    return ", ".join(parts)


def soak(result: Mapping[str, Any]) -> list[str]:
    """What was answered, and what grew."""
    outcomes = ", ".join(f"{count:,} {what}" for what, count in result["outcomes"].items())
    lost = result["sent"] - sum(result["outcomes"].values())
    limits = result["limits"]
    growth = ", ".join(
        f"{result['growth'][name]:+.1f} {text} (limit {limits[name]:g})" for name, text in _GROWTH.items()
    )
    return [
        origin(result["made"]),
        "",
        f"- {result['sent']:,} requests in {result['seconds'] / 60:.0f} minutes: {outcomes}, {lost} lost; "
        f"{result['reloads']} reloads.",
        f"- From the first to the last third: {growth}.",
    ]


def fleet(result: Mapping[str, Any]) -> list[str]:
    """The phases of a fleet's run."""
    rows = []
    for title, of in result["phases"].items():
        notes = "".join(f", {name} {of[f'{name}_s']:.1f} s" for name in _NOTES if f"{name}_s" in of)
        latencies = ", ".join(f"{value:.2f}" for value in of["latency_s"].values())
        images = ", ".join(f"{count} {name}" for name, count in sorted(of["answered_by_xclbin"].items(), reverse=True))
        again = ", ".join(str(count) for count in of["sent_again"].values())
        rate, gap = f"{of['images_per_s_in_all']:.0f}", f"{of['longest_gap_s']:.2f} s"
        rows.append((f"{title}{notes}", rate, gap, f"{latencies} s", images, again))
    latency, again = "latency p50, p99, longest", "sent again: balanced, spread"
    head = ("phase", "images/s", "longest gap", latency, "answered by", again)
    return [
        origin(result["made"]),
        "",
        f"**Of {result['sent']:,} requests {_none_or(result['lost'])} lost and {_none_or(result['wrong'])} wrong.** "
        f"After the last upgrade {result.get('stale') or 'no'} answers came from the old xclbin.",
        "",
        *table(head, rows),
    ]


def _none_or(count: int) -> str:
    """ "none was" or "3 were"."""
    return f"{count:,} were" if count else "none was"
