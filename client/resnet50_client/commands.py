"""What each subcommand does once its options are read: stream images through the client and report."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from resnet50_client.accuracy import Judged, Tally, missing_images
from resnet50_client.client import AsyncClient
from resnet50_client.dataset import Images
from resnet50_client.errors import DatasetError
from resnet50_client.outfile import OutFile, as_json
from resnet50_client.report import Rows, Summary, print_plain, progress_bar

ROWS_BY_DEFAULT = 100  # up to this many images, an accuracy run shows a row for each


@dataclass(frozen=True)
class Output:
    """Where results go, and in which form."""

    out: Console
    err: Console
    json: bool
    file: OutFile | None


async def classify(client: AsyncClient, images: Images, labels: Mapping[str, int], output: Output) -> bool:
    """Classify images and print a row (or a JSON line) for each.

    Args:
        client: not yet connected.
        images: what to send.
        labels: class ids by file name; empty if right and wrong are not known.
        output: where to print.

    Returns:
        Whether every image was classified.
    """
    rows = Rows(output.out, images.paths, labelled=bool(labels), top=client.top)
    tally = Tally()
    async with client, aclosing(_judge(client, images.paths, labels, tally, output)) as answers:
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
    labels: Mapping[str, int],
    output: Output,
    *,
    show: str,
    min_top1: float | None,
) -> bool:
    """Classify images, compare with their labels, print the summary; if cut short, that of what was done.

    Args:
        client: not yet connected.
        images: what to send.
        labels: class ids by file name.
        output: where to print.
        show: rows to print: "all", "wrong" (and failed), "none", or "auto": all if there are few.
        min_top1: the least top-1 to pass, in per cent.

    Returns:
        Whether every image was answered, at least one scored, and top-1 high enough.

    Raises:
        DatasetError: not a single image has a label.
    """
    names = {path.name for path in images.paths}
    if names.isdisjoint(labels):
        raise DatasetError(
            f"none of the {len(images.paths)} images has a label: the first image is '{images.paths[0].name}', "
            f"the first label is for '{next(iter(labels))}'"
        )
    if show == "auto":
        show = "all" if len(images.paths) <= ROWS_BY_DEFAULT else "none"
    rows = Rows(output.out, images.paths, labelled=True, top=1)
    tally = Tally()
    async with client:
        server = await client.describe()
        started = finished = time.perf_counter()
        try:
            async with aclosing(_judge(client, images.paths, labels, tally, output)) as answers:
                async for judged in answers:
                    finished = time.perf_counter()
                    if show == "all" or (show == "wrong" and judged.verdict in {"wrong", "failed"}):
                        rows.show(judged)
        finally:
            summary = Summary(
                server=server,
                tally=tally,
                missing=missing_images(labels, names),
                ignored=images.ignored,
                listed=len(images.paths),
                duration_s=finished - started,
                window=client.window,
                min_top1=min_top1,
            )
            if output.json:
                print_plain(output.out, json.dumps(summary.as_json(), indent=2))
            else:
                summary.show(output.out)
    return summary.passed


async def _judge(
    client: AsyncClient, paths: Sequence[Path], labels: Mapping[str, int], tally: Tally, output: Output
) -> AsyncGenerator[Judged, None]:
    """Stream images, put each answer beside its label, count it, write it to the file, and move the progress bar."""
    started = time.perf_counter()
    with progress_bar(output.out, output.err) as bar:
        task = bar.add_task("", total=len(paths), note="")
        async with aclosing(client.stream(paths)) as predictions:
            async for prediction in predictions:
                label = labels.get(Path(prediction.source).name)
                judged = Judged(prediction, label, client.names.get(label) if label is not None else None)
                tally.add(judged)
                if output.file:
                    output.file.write(judged)
                yield judged
                bar.update(task, advance=1, note=_note(tally, time.perf_counter() - started))


def _note(tally: Tally, elapsed_s: float) -> str:
    rate = f"{tally.images / elapsed_s:.0f} images/s"
    return f"{rate}  top-1 {100 * tally.top1.share:.1f} %" if tally.scored else rate
