"""Classifies the images of a run, with a progress bar."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from rich.console import Console

from resnet50_client.accuracy import ScoredPrediction
from resnet50_client.api import AsyncClient
from resnet50_client.images import Item, Items
from resnet50_client.results import Results
from resnet50_client.screen import progress_bar


async def record_answers(
    client: AsyncClient, items: Items, results: Results, screen: tuple[Console, Console]
) -> AsyncGenerator[ScoredPrediction, None]:
    """Ask for the images that have no answer yet; each answer is recorded before it is yielded.

    Args:
        client: connected.
        items: all images of the run.
        results: the run.
        screen: standard output and error.
    """
    results.name_classes(client.names)
    positions: deque[int] = deque()  # of the images in flight, in order

    def unanswered() -> Iterator[Item]:
        for position in results.unanswered():
            positions.append(position)
            yield items[position]

    started, before = time.perf_counter(), results.recorded
    verdicts: Counter[str] = Counter()
    with progress_bar(*screen) as bar:
        task = bar.add_task("", total=results.images, completed=before, note="")
        async with aclosing(client.stream(unanswered())) as predictions:
            async for prediction in predictions:
                scored = results.record(positions.popleft(), prediction)
                verdicts[scored.verdict] += 1
                yield scored
                bar.update(task, advance=1, note=_note(verdicts, time.perf_counter() - started))
    if decoded := client.decoded_here:
        kinds = sorted(decoded, key=lambda kind: (-decoded[kind], kind))  # whichever was decoded first
        counts = ", ".join(f"{decoded[kind]} {kind}" for kind in kinds)
        screen[1].print(f"decoded here, since the server does not take these formats: {counts}")


def warn_of_unreachable(client: AsyncClient, err: Console) -> None:
    """Say which of several servers did not answer at the start."""
    for reason in client.unreachable.values():
        err.print(f"resnet50-client: going on without a server: {reason}", style="yellow")


def _note(verdicts: Counter[str], elapsed_s: float) -> str:
    rate = f"{verdicts.total() / elapsed_s:.0f} images/s"
    scored = verdicts["right"] + verdicts["wrong"]
    return f"{rate}  top-1 {100 * verdicts['right'] / scored:.1f} %" if scored else rate
