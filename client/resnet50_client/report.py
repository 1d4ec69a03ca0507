"""The report of an accuracy run as one HTML file that needs no other file and no network."""

from __future__ import annotations

import base64
import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from html import escape
from itertools import islice

import numpy as np
import numpy.typing as npt

from resnet50_client.accuracy import AccuracyCounts, Proportion
from resnet50_client.comparison import Comparison
from resnet50_client.formats import open_picture
from resnet50_client.images import Item, as_item
from resnet50_client.plots import histogram, intervals, shown, svg
from resnet50_client.screen import describe_class, printable
from resnet50_client.summary import Summary, describe_file, describe_proportion

WORST = 20  # classes, and pairs of classes
LISTED = 200  # files of each kind of trouble
THUMBNAIL = 112  # pixels, the longer side
FIFTHS = 5  # of the margins
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #667; --paper: #fff; --line: #d8dce2;
  --good: #2f8f5b; --bad: #c4442f }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --dim: #9aa3ad; --paper: #16191d; --line: #333a42 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line) }
table { border-collapse: collapse } td, th { text-align: left; padding: .15rem .9rem .15rem 0; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
section { overflow-x: auto }
td:not(:first-child) { white-space: nowrap } .facts td:last-child { white-space: normal; overflow-wrap: anywhere }
.facts td:first-child { white-space: nowrap }
th, .dim, figcaption { color: var(--dim); font-weight: normal }
.verdict { font-weight: 600 } .good { color: var(--good) } .bad { color: var(--bad) }
.gallery { display: flex; flex-wrap: wrap; gap: .8rem }
figure { margin: 0; break-inside: avoid; width: 9.5rem; font-size: .8rem; line-height: 1.35; overflow-wrap: anywhere }
figure img, .none { height: 7rem; max-width: 9.5rem; object-fit: contain } .none { background: var(--line) }
svg { width: 100%; max-width: 40rem; height: auto } svg text { fill: var(--dim); font-size: 12px }
svg.wide { width: auto; max-width: none } @media (max-width: 30rem) { svg:not(.wide) text { font-size: 15px } }
details { margin: .3rem 0 } @media print { body { margin: 0; max-width: none } section { break-inside: avoid } }
"""


def html_report(summary: Summary, items: Mapping[str, Item]) -> str:
    """The whole report.

    Args:
        summary: of the run.
        items: images by name, of which those that were answered wrong are read again for their thumbnails.
    """
    counts = summary.counts
    verdict = "passed" if summary.passed else "not passed"
    parts = [
        f"<h1>Top-1 accuracy: {escape(describe_proportion(counts.top1))}</h1>",
        f'<p class="verdict {"good" if summary.passed else "bad"}">{verdict}: {escape(summary.reason)}</p>',
        _section(
            "Top-1 and top-5, with 95 % intervals (Wilson)",
            intervals([("top-1", counts.top1), ("top-5", counts.top5)]),
        ),
        _section("The run", _table(summary.run_facts())),
        _section("Server", _table(summary.facts())),
        _section("Coverage", _coverage(summary)),
        _section(
            "Margin between the best class and the next",
            histogram(
                [
                    ("right", "--good", counts.margins[True].numbers()),
                    ("wrong", "--bad", counts.margins[False].numbers()),
                ],
                "margin, in the accelerator's accumulators",
            ),
        ),
        _section("Accuracy by margin", _reliability(counts)),
        _section("Latency of a request, ms", _latency(1e3 * counts.latencies_s.numbers())),
        _section("Worst classes", _worst_classes(summary)),
        _section("Every class", _every_class(summary)),
        _section("Confusion matrix", _confusion(summary)),
        _section("Wrong answers, largest margin first", _gallery(summary, items)),
    ]
    if summary.profile_table:
        parts.append(_section("Time per stage, ms", _profile(summary)))
    return _page("Accuracy report", parts)


def compare_report(comparison: Comparison, lines: Sequence[str], names: Mapping[int, str]) -> str:
    """The report of a comparison. The images with a changed verdict are read again for their thumbnails.

    Args:
        comparison: of two runs, A and B.
        lines: the figures.
        names: of classes.
    """
    parts = [
        "<h1>Two runs compared</h1>",
        _table([tuple(line.split(maxsplit=1)) for line in lines]),
        _section("Top-1, with 95 % intervals (Wilson)", intervals([("A", comparison.a), ("B", comparison.b)])),
    ]
    for title, was in (("Right in A, wrong in B", True), ("Wrong in A, right in B", False)):
        changes = comparison.changes(was=was, becomes=not was)
        figures = []
        for file, *classes in changes[:LISTED]:
            label, before, after = (_text(describe_class(i, names.get(i))) for i in classes)
            figures.append(
                f"<figure>{_thumbnail(as_item(file, file))}<figcaption>{_text(file)}</figcaption>"
                f'is <span class="good">{label}</span><br>A: {before}<br>B: {after}</figure>'
            )
        rest = f"<p>and {len(changes) - LISTED} more</p>" if len(changes) > LISTED else ""
        parts.append(_section(f"{title}: {len(changes)}", f'<div class="gallery">{"".join(figures)}</div>{rest}'))
    return _page("Two runs compared", parts)


def _page(title: str, parts: Sequence[str]) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n{body}</section>" if body else ""


def _text(text: object) -> str:
    return escape(printable(str(text)))


def _table(rows: Sequence[tuple[object, ...]], head: Sequence[str] = ()) -> str:
    """A table whose columns of numbers stand to the right."""
    if not rows:
        return ""
    numeric, kind = [isinstance(value, (int, float)) for value in rows[-1]], "" if head else " class=facts"

    def line(tag: str, values: Sequence[object]) -> str:
        cells = zip(values, numeric, strict=True)
        return "".join(f"<{tag}{' class=n' * number}>{_text(shown(value))}</{tag}>" for value, number in cells)

    lines = [f"<tr>{line('th', head)}</tr>"] if head else []
    lines += [f"<tr>{line('td', row)}</tr>" for row in rows]
    return f"<table{kind}>" + "\n".join(lines) + "</table>"


def _latency(milliseconds: npt.NDArray[np.float64]) -> str:
    """From sending to the answer, retries included."""
    if not len(milliseconds):
        return ""
    found = [float(q) for q in np.quantile(milliseconds, [0.5, 0.9, 0.99, 1])]
    marks = [(f"{name} {shown(value)} ms", value) for name, value in zip(("p50", "p90", "p99"), found[:3], strict=True)]
    table = _table([tuple(found)], ("p50, ms", "p90, ms", "p99, ms", "longest, ms"))
    return histogram([("requests", "--dim", milliseconds)], "latency, ms", marks) + table


def _reliability(counts: AccuracyCounts) -> str:
    """Top-1 of the images in each fifth of the margins: where it rises, a large margin is worth something."""
    right, wrong = counts.margins[True].numbers(), counts.margins[False].numbers()
    margins = np.concatenate([right, wrong])
    if len(margins) < FIFTHS:
        return ""
    edges = np.unique(np.quantile(margins, np.linspace(0, 1, FIFTHS + 1)))
    rows: list[tuple[object, ...]] = []
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        last = i == len(edges) - 2
        hits, misses = (int(((low <= m) & ((m <= high) if last else (m < high))).sum()) for m in (right, wrong))
        share = f"{100 * hits / (hits + misses):.1f} %"
        rows.append((f"{low:,.0f} to {high:,.0f}", share, _bounds(hits, hits + misses), hits + misses))
    return _table(rows, ("margin", "right", "95 % interval", "images"))


def _bounds(hits: int, trials: int) -> str:
    low, high = Proportion(hits, trials).interval
    return f"{100 * low:.0f} to {100 * high:.0f} %"


def _every_class(summary: Summary) -> str:
    rows = [
        (summary.class_name(label), count.right, count.scored, f"{100 * count.right / count.scored:.0f} %")
        for label, count in sorted(summary.counts.worst_classes)
    ]
    if not rows:
        return ""
    table = _table(rows, ("class", "right", "of", "share"))
    return f"<details><summary>{len(rows)} classes with scored images</summary>{table}</details>{_csv_of(summary)}"


def _csv_of(summary: Summary) -> str:
    """The same table to take away, in the page itself."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("class", "name", "right", "of", "top1", "low", "high"))
    for label, count in sorted(summary.counts.worst_classes):
        found = Proportion(count.right, count.scored)
        bounds = [f"{share:.4f}" for share in (found.share, *found.interval)]
        writer.writerow((label, summary.names.get(label), count.right, count.scored, *bounds))
    content = base64.b64encode(text.getvalue().encode("utf-8", "surrogateescape")).decode()
    return f'<p><a download="classes.csv" href="data:text/csv;base64,{content}">classes.csv</a></p>'


def _coverage(summary: Summary) -> str:
    counts = summary.counts
    rows = [("scored", counts.scored), ("failed", len(counts.failed)), ("unlabelled", len(counts.unlabelled)),
            ("not answered by the server's fault", summary.fault_count), ("not reached", summary.not_reached),
            ("images in all", summary.listed), ("labels without an image", len(summary.missing)),
            *((f"skipped: {reason}", count) for reason, count in summary.skipped.counts.most_common())]  # fmt: skip
    text = _table(rows)
    for kind, files in [*summary.troubles(), *summary.skipped.examples.items()]:
        if files:
            rest = f"<li>and {len(files) - LISTED} more</li>" if len(files) > LISTED else ""
            lines = "".join(f"<li>{_text(describe_file(file))}</li>" for file in islice(files, LISTED))
            text += f"<details><summary>{len(files)} {_text(kind)}</summary><ul>{lines}{rest}</ul></details>"
    return text


def _worst_classes(summary: Summary) -> str:
    rows: list[tuple[object, ...]] = []
    for label, count in summary.counts.worst_classes[:WORST]:
        if count.right == count.scored:
            break  # they are sorted
        share = f"{100 * count.right / count.scored:.0f} %"
        rows.append(
            (describe_class(label, count.name), count.right, count.scored, share, _bounds(count.right, count.scored))
        )
    return _table(rows, ("class", "right", "of", "share", "95 % interval"))


def _confusion(summary: Summary) -> str:
    counts = summary.counts
    rows = [
        (summary.class_name(label), summary.class_name(answer), count)
        for (label, answer), count in sorted(counts.confusion.items(), key=lambda item: (-item[1], item[0]))[:WORST]
    ]
    if not rows:
        return ""
    return _matrix(summary) + _table(rows, ("is", "is taken for", "images"))


def _matrix(summary: Summary) -> str:
    """The classes with the most mistakes against one another, each row by its share."""
    confusion, by_class = summary.counts.confusion, dict(summary.counts.worst_classes)
    wrong: dict[int, int] = {}
    for (label, answer), count in confusion.items():
        for class_id in (label, answer):
            wrong[class_id] = wrong.get(class_id, 0) + count
    chosen = sorted(sorted(wrong, key=lambda class_id: -wrong[class_id])[:WORST])
    size, left, top = 18, 190, 120
    cells = []
    for y, label in enumerate(chosen):
        name = summary.class_name(label)
        cells.append(f'<text x="{left - 6}" y="{size * y + 13}" text-anchor="end">{_text(_cut(name, 28))}</text>')
        count_of = by_class.get(label)
        for x, answer in enumerate(chosen):
            right = count_of.right if count_of and answer == label else 0
            count = right or confusion.get((label, answer), 0)
            if count and count_of:
                colour, tip = (
                    "--good" if answer == label else "--bad",
                    f"{name} → {summary.class_name(answer)}: {count}",
                )
                cells.append(
                    f'<rect x="{left + size * x}" y="{size * y}" width="{size - 1}" height="{size - 1}" '
                    f'fill="var({colour})" '
                    f'opacity="{0.2 + 0.8 * count / count_of.scored:.2f}"><title>{_text(tip)}</title></rect>'
                )
    for x, answer in enumerate(chosen):
        at = f"translate({left + size * x + 13} -4) rotate(-60)"
        cells.append(f'<text transform="{at}">{_text(_cut(summary.class_name(answer), 20))}</text>')
    width, height = left + size * len(chosen) + 70, size * len(chosen)
    return svg(top, height, cells, width, f' class="wide" width="{width}"') + (
        '<p class="dim">Rows: what it is. Columns: what it is taken for. '
        "The stronger the colour, the more of the row's images.</p>"
    )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _gallery(summary: Summary, items: Mapping[str, Item]) -> str:
    figures = []
    for file, label, answer, margin in summary.counts.mistakes:
        figures.append(
            f"<figure>{_thumbnail(items.get(file))}<figcaption>{_text(file)}</figcaption>"
            f'is <span class="good">{_text(summary.class_name(label))}</span><br>'
            f'taken for <span class="bad">{_text(summary.class_name(answer))}</span>'
            f"{'' if margin is None else f'<br>margin {margin}'}</figure>"
        )
    return f'<div class="gallery">{"".join(figures)}</div>' if figures else ""


def _thumbnail(item: Item | None) -> str:
    """A small copy of an image inside the page; a grey field where it cannot be read any more."""
    from PIL import Image  # slow to load, and only needed here

    try:
        if item is None:
            raise OSError
        with open_picture(item.read()) as image:
            image.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))
            small = image.convert("RGB")
            small.thumbnail((THUMBNAIL, THUMBNAIL))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=80)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return '<div class="none"></div>'
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def _profile(summary: Summary) -> str:
    rows = [(name, int(values[0]), *(1e3 * value for value in values[1:])) for name, values in summary.profile_table]
    table = _table(rows, ("", "count", "mean", "std", "min", "25 %", "50 %", "75 %", "max"))
    return table + "".join(f"<p>{_text(line)}</p>" for line in summary.profile_lines)
