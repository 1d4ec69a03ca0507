"""What each subcommand does once its options are read: stream images through the client and report."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from resnet50_client.accuracy import Judged, Tally
from resnet50_client.client import AsyncClient
from resnet50_client.errors import DatasetError
from resnet50_client.html import html_report
from resnet50_client.images import Images, Items
from resnet50_client.journal import Journal
from resnet50_client.labels import Labels
from resnet50_client.outfile import OutFile, as_json
from resnet50_client.profile import Profile, models_busy_s
from resnet50_client.report import Rows, Summary, print_plain, progress_bar
from resnet50_client.trace import Trace

ROWS_BY_DEFAULT = 100  # up to this many images, an accuracy run shows a row for each
STATISTICS_WAIT_S = 5.0  # at the end of a run, perhaps of a server that has gone


@dataclass(frozen=True)
class Output:
    """Where results go, and in which form."""

    out: Console
    err: Console
    json: bool
    file: OutFile | None = None
    journal: Journal | None = None
    trace: Trace | None = None
    report: Path | None = None
    profile: bool = False


async def classify(client: AsyncClient, images: Images, labels: Labels, output: Output) -> bool:
    """Classify images and print a row (or a JSON line) for each.

    Args:
        client: not yet connected.
        images: what to send.
        labels: right answers; empty if right and wrong are not known.
        output: where to print.

    Returns:
        Whether every image was classified.
    """
    rows = Rows(output.out, (item.name for item in images.items), labelled=bool(labels.ids), top=client.top)
    tally = Tally()
    async with client:
        _warn_of_unreachable(client, output)
        async with aclosing(_judge(client, images.items, labels, tally, output)) as answers:
            async for judged in answers:
                if output.json:
                    print_plain(output.out, json.dumps(as_json(judged)))
                else:
                    rows.show(judged)
    if tally.failed:
        output.err.print(f"{len(tally.failed)} of {tally.images} images failed")
    return not tally.failed


async def accuracy(
    client: AsyncClient,
    images: Images,
    labels: Labels,
    output: Output,
    *,
    show: str,
    min_top1: float | None,
    allow_timing_card: bool = False,
) -> bool:
    """Classify images, compare with their labels, print the summary; if cut short, that of what was done.

    Args:
        client: not yet connected.
        images: what to send.
        labels: right answers.
        output: where to print.
        show: rows to print: "all", "wrong" (and failed), "none", or "auto": all if there are few.
        min_top1: the least top-1 to pass, in per cent.
        allow_timing_card: also run on a card that computes nothing.

    Returns:
        Whether every image was answered, at least one scored, and top-1 high enough.

    Raises:
        DatasetError: not a single image has a label, the journal is about other images, or the card computes nothing.
    """
    items = images.items
    if all(labels.find(item.name) is None for item in items):
        raise DatasetError(
            f"none of the {len(items)} images has a label: the first image is '{Path(items[0].name).name}', "
            f"the first label is for '{next(iter(labels.ids))}'"
        )
    if show == "auto":
        show = "all" if len(items) <= ROWS_BY_DEFAULT else "none"
    rows = Rows(output.out, (item.name for item in items), labelled=True, top=1)
    tally = Tally()
    async with client:
        _warn_of_unreachable(client, output)
        server = await client.describe()
        if server.computes_nothing and not allow_timing_card:
            raise DatasetError(
                f"card '{', '.join(server.cards)}' computes nothing, so its answers have no accuracy: serve another "
                "card (--allow-timing-card runs all the same)"
            )
        profile = Profile(server.cards)
        before = await client.statistics() if output.profile else {}
        for judged, item in zip(output.journal.replay() if output.journal else (), items, strict=False):
            if judged.prediction.source != item.name:
                raise DatasetError(f"the journal has '{judged.prediction.source}' where '{item.name}' is expected")
            _keep(judged, tally, output, profile)
        resumed, resumed_answered = tally.images, tally.answered
        started = finished = time.perf_counter()
        cpu_started = time.process_time()
        complete = False
        try:
            async with aclosing(_judge(client, items, labels, tally, output, profile)) as answers:
                async for judged in answers:
                    finished = time.perf_counter()
                    if show == "all" or (show == "wrong" and judged.verdict in {"wrong", "failed"}):
                        rows.show(judged)
            complete = True
        finally:
            duration_s = finished - started
            lines: list[str] = []
            if output.profile:
                busy_s = await _busy_since(client, before)
                stages = profile.stages(duration_s, time.process_time() - cpu_started, busy_s)
                busy = ", ".join(f"{stage.name} {100 * stage.busy:.0f} %" for stage in stages)
                batch = f"; images in a batch, on average: {profile.mean_batch:.1f}" if profile.mean_batch else ""
                lines = [f"busy: {busy}{batch}", profile.verdict(stages, duration_s, client.window)]
            summary = Summary(
                server=server,
                tally=tally,
                missing=labels.missing(item.name for item in items),
                ignored=images.ignored,
                listed=len(items),
                duration_s=duration_s,
                window=client.window,
                min_top1=min_top1,
                names=client.names,
                resumed=resumed,
                resumed_answered=resumed_answered,
                profile_table=profile.table() if output.profile else (),
                profile_lines=lines,
            )
            if output.json:
                print_plain(output.out, json.dumps(summary.as_json(), indent=2))
            else:
                summary.show(output.out)
            if output.report:
                shown = {judged.prediction.source for judged in tally.mistakes}
                page = html_report(summary, {item.name: item for item in items if item.name in shown})
                output.report.write_text(page, encoding="utf-8")
        if complete and output.journal:
            output.journal.finish()
    return summary.passed


async def _busy_since(client: AsyncClient, before: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    try:
        return models_busy_s(before, await asyncio.wait_for(client.statistics(), STATISTICS_WAIT_S))
    except asyncio.TimeoutError:
        return {}


def _warn_of_unreachable(client: AsyncClient, output: Output) -> None:
    for reason in client.unreachable.values():
        output.err.print(f"resnet50-client: going on without a server: {reason}", style="yellow")


def _keep(judged: Judged, tally: Tally, output: Output, profile: Profile | None) -> None:
    """Count an image and write it wherever it is wanted."""
    tally.add(judged)
    if output.file:
        output.file.write(judged)
    if profile:
        profile.add(judged.prediction)
    if output.trace:
        output.trace.add(judged.prediction)


async def _judge(
    client: AsyncClient,
    items: Items,
    labels: Labels,
    tally: Tally,
    output: Output,
    profile: Profile | None = None,
) -> AsyncGenerator[Judged, None]:
    """Stream the images that are not counted yet; put each answer beside its label, count it, and write it down."""
    started = time.perf_counter()
    before = tally.images
    with progress_bar(output.out, output.err) as bar:
        task = bar.add_task("", total=len(items), completed=before, note="")
        async with aclosing(client.stream(items.starting_at(before))) as predictions:
            async for prediction in predictions:
                label = labels.find(prediction.source)
                judged = Judged(prediction, label, client.names.get(label) if label is not None else None)
                if output.journal:
                    output.journal.add(judged)
                _keep(judged, tally, output, profile)
                yield judged
                bar.update(task, advance=1, note=_note(tally, before, time.perf_counter() - started))


def _note(tally: Tally, before: int, elapsed_s: float) -> str:
    rate = f"{(tally.images - before) / elapsed_s:.0f} images/s"
    return f"{rate}  top-1 {100 * tally.top1.share:.1f} %" if tally.scored else rate
