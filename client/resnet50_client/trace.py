"""Writes a run as a trace file for https://ui.perfetto.dev and chrome://tracing."""

from __future__ import annotations

import json
from collections import deque
from typing import Any, TextIO

from resnet50_client.prediction import Prediction, Provenance
from resnet50_client.profile import card_times

CLIENT = 1  # as a process id; cards count on from there
LANES = {1: "upload", 2: "kernel", 3: "download"}  # of a card
BATCHES_REMEMBERED = 4096  # the images of a batch come near each other; each batch is drawn once


class Trace:
    """A trace: a lane for each place in flight, and three for each card."""

    def __init__(self, file: TextIO) -> None:
        """Begin one in an open file."""
        self._file = file
        self._zero_ns = 0
        self._cards: dict[str, int] = {}
        self._drawn: deque[tuple[int, int]] = deque(maxlen=BATCHES_REMEMBERED)
        self._file.write("[\n")  # the array format: a trace that is cut short is still read

    def add(self, prediction: Prediction) -> None:
        """Draw one image."""
        times, at = prediction.times, card_times(prediction)
        if times is None:
            return
        self._zero_ns = self._zero_ns or times.start_ns
        details = {"file": prediction.source, "error": prediction.error, "server": prediction.server}
        self._draw(CLIENT, times.slot, "image", times.start_ns, times.answered_ns, details)
        self._draw(CLIENT, times.slot, "read", times.start_ns, times.sent_ns)
        if at is None:
            self._draw(CLIENT, times.slot, "server", times.sent_ns, times.answered_ns)
            return
        self._draw(CLIENT, times.slot, "preprocessing", times.sent_ns, at["received_ns"])
        self._draw(CLIENT, times.slot, "queue", at["received_ns"], at["upload_start_ns"])
        self._draw(CLIENT, times.slot, "card", at["upload_start_ns"], at["download_end_ns"])
        self._draw(CLIENT, times.slot, "answer", at["download_end_ns"], times.answered_ns)
        if prediction.provenance:
            self._draw_batch(f"{prediction.provenance.card} at {prediction.server}", prediction.provenance, at)

    def _draw_batch(self, name: str, told: Provenance, at: dict[str, int]) -> None:
        process = self._cards.get(name)
        if process is None:
            process = self._cards[name] = CLIENT + 1 + len(self._cards)
            self._write(_name("process_name", process, 0, name))
            for lane, title in LANES.items():
                self._write(_name("thread_name", process, lane, title))
        batch = (process, told.kernel_start_ns)
        if batch in self._drawn:
            return
        self._drawn.append(batch)
        for lane, title in LANES.items():
            details = {"images": told.batch_size, "runs": told.runs}
            self._draw(process, lane, title, at[f"{title}_start_ns"], at[f"{title}_end_ns"], details)

    def _draw(
        self, process: int, lane: int, name: str, start_ns: int, end_ns: int, details: dict[str, Any] | None = None
    ) -> None:
        start, length = (start_ns - self._zero_ns) / 1e3, max(0, end_ns - start_ns) / 1e3  # microseconds
        event = {"name": name, "ph": "X", "pid": process, "tid": lane, "ts": start, "dur": length}
        self._write(event | ({"args": details} if details else {}))

    def finish(self) -> None:
        """Write its end."""
        self._file.write(json.dumps(_name("process_name", CLIENT, 0, "client")) + "\n]\n")

    def _write(self, event: dict[str, Any]) -> None:
        self._file.write(json.dumps(event) + ",\n")


def _name(kind: str, process: int, lane: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": process, "tid": lane, "args": {"name": name}}
