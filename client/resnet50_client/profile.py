"""Measures the stages of each image and how busy each part was, and names the bottleneck."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from resnet50_client.accuracy import Column
from resnet50_client.database import open_notes
from resnet50_client.prediction import Prediction

# The server's timestamps of an image, Unix time, in order. With the client's start, these are the original's seven.
CARD_TIMES = (
    "upload_start_ns",
    "upload_end_ns",
    "kernel_start_ns",
    "kernel_end_ns",
    "download_start_ns",
    "download_end_ns",
)
# What follows from them. total = client + preprocessing + queue + inference; the card's three are parts of inference.
DERIVED = ("total", "client", "preprocessing", "queue", "upload", "accelerator", "download", "inference")
UNTOLD = "the times on the card are not known: the server does not tell them (serve --provenance has it tell)"
BUSY = 0.7  # from this share of the time on, a stage is what the others wait for
SMALL_BATCH = 8  # below, a card spends more on each run than on the images


def card_times(prediction: Prediction) -> dict[str, int] | None:
    """When the card did what, by the client's clock: CARD_TIMES and `received_ns`, the arrival at the card's model.

    Where the server's clock disagrees with ours, so that an answer would come before its question, they are taken to
    end with the answer.
    """
    times, told = prediction.times, prediction.provenance
    if times is None or told is None:
        return None
    at = {name: int(getattr(told, name)) for name in ("received_ns", *CARD_TIMES)}
    if times.sent_ns <= told.received_ns and told.download_end_ns <= times.answered_ns:
        return at
    return {name: ns + times.answered_ns - told.download_end_ns for name, ns in at.items()}


def derive(prediction: Prediction) -> dict[str, float]:
    """Seconds that each stage took, as far as they are known.

    client is reading, with --pixels decoding, and the way back; preprocessing is the way to the card's model, on the
    server: Triton's queue and decoding.
    """
    times, at = prediction.times, card_times(prediction)
    if times is None or prediction.error is not None:
        return {}
    ns = {"total": times.answered_ns - times.start_ns, "client": times.sent_ns - times.start_ns}
    if at is not None:
        ns["client"] += times.answered_ns - at["download_end_ns"]
        ns["preprocessing"] = at["received_ns"] - times.sent_ns
        ns["queue"] = at["upload_start_ns"] - at["received_ns"]
        ns["upload"] = at["upload_end_ns"] - at["upload_start_ns"]
        ns["accelerator"] = at["kernel_end_ns"] - at["kernel_start_ns"]
        ns["download"] = at["download_end_ns"] - at["download_start_ns"]
        ns["inference"] = at["download_end_ns"] - at["upload_start_ns"]
    return {name: value / 1e9 for name, value in ns.items()}


@dataclass(frozen=True)
class Stage:
    """What part of the run a stage was busy, and what to do if it is the bottleneck."""

    name: str
    busy: float
    advice: str


class Profile:
    """Gathers the times of a run."""

    def __init__(self, cards: Iterable[str] = ()) -> None:
        """Begin.

        Args:
            cards: as configured, such as "software:0", for servers without `--provenance`.
        """
        self._seconds = open_notes(f"CREATE TABLE seconds ({', '.join(DERIVED)})")  # of each image; NULL if unknown
        self._total_s = 0.0
        self._kernel_s: dict[str, float] = {}  # by card; each image's share of its batch
        self._runs = 0.0
        self._on_card = 0
        self._is_software = any(card.startswith("software") for card in cards)

    def add(self, prediction: Prediction) -> None:
        """Note one image."""
        derived, told = derive(prediction), prediction.provenance
        if derived:
            insert = f"INSERT INTO seconds VALUES ({', '.join('?' * len(DERIVED))})"
            self._seconds.execute(insert, tuple(map(derived.get, DERIVED)))
        self._total_s += derived.get("total", 0.0)
        if told and "accelerator" in derived:
            batch = max(1, told.batch_size)
            name = f"{prediction.server} {told.card}"
            self._kernel_s[name] = self._kernel_s.get(name, 0.0) + derived["accelerator"] / batch
            self._runs += 1 / batch
            self._on_card += 1
            self._is_software |= told.card.startswith("software")

    @property
    def mean_batch(self) -> float:
        """Images in a run of the kernel, on average."""
        return self._on_card / self._runs if self._runs else 0.0

    def table(self) -> list[tuple[str, list[float]]]:
        """For each known time: count, mean, standard deviation, minimum, quartiles, maximum; in seconds."""
        rows = []
        for name in DERIVED:
            seconds = Column(self._seconds, f"SELECT {name} FROM seconds WHERE {name} IS NOT NULL").numbers()
            if len(seconds):
                quartiles = [float(q) for q in np.quantile(seconds, [0, 0.25, 0.5, 0.75, 1])]
                deviation = float(seconds.std(ddof=1)) if len(seconds) > 1 else 0.0
                rows.append((name, [float(len(seconds)), float(seconds.mean()), deviation, *quartiles]))
        return rows

    def stages(self, run_s: float, client_cpu_s: float, models_busy_s: Mapping[str, float]) -> list[Stage]:
        """How busy each stage was, the busiest first. Decoding is not among them: Triton does not report its time.

        Args:
            run_s: how long the run took.
            client_cpu_s: processor time of this process meanwhile.
            models_busy_s: how long Triton says each model computed, for each of the servers.
        """
        if run_s <= 0:
            return []
        card_s = max(self._kernel_s.values(), default=models_busy_s.get("resnet50", 0.0))
        if self._is_software:
            card_advice = "it computes on the CPU: give it more cores, or an Alveo"
        elif 0 < self.mean_batch < SMALL_BATCH:
            card_advice = f"its batches hold {self.mean_batch:.1f} images on average: raise --concurrency to fill them"
        else:
            card_advice = "add a card: an instance on another one, or a second server with a second --url"
        stages = [
            Stage("card", card_s / run_s, card_advice),
            Stage(
                "client",
                client_cpu_s / run_s,
                "its Python is at its limit: use --shm on one machine, leave out --pixels, or share the images "
                "among several clients",
            ),
        ]
        return sorted(stages, key=lambda stage: -stage.busy)

    def verdict(self, stages: list[Stage], run_s: float, concurrency: int) -> str:
        """One sentence: what holds the run up, and what to change."""
        if stages and stages[0].busy >= BUSY:
            stage = stages[0]
            busy = f"{100 * min(1.0, stage.busy):.0f} %"
            return f"the bottleneck is the {stage.name}, busy {busy} of the time: {stage.advice}"
        in_flight = self._total_s / run_s if run_s > 0 else 0.0
        if in_flight >= 0.8 * concurrency:
            return (
                f"no bottleneck found, {in_flight:.0f} of {concurrency} images in flight: raise --concurrency; if that "
                "does not help, decoding is the limit (the server's metric resnet50_decode_wait_seconds): give the "
                "server more cores, or decode in the client (--pixels)"
            )
        return (
            f"no bottleneck found: too few images in flight ({in_flight:.0f} of {concurrency}); "
            "the run is too short, or reading the images is slow"
        )

    def lines(self, run_s: float, client_cpu_s: float, models_s: Mapping[str, float], concurrency: int) -> list[str]:
        """What was busy, and the verdict; arguments as of `stages` and `verdict`."""
        stages = self.stages(run_s, client_cpu_s, models_s)
        busy = ", ".join(f"{stage.name} {100 * stage.busy:.0f} %" for stage in stages)
        batch = f"; images in a batch, on average: {self.mean_batch:.1f}" if self.mean_batch else ""
        lines = [f"busy: {busy}{batch}", self.verdict(stages, run_s, concurrency)]
        if not self._on_card:
            lines.append(UNTOLD)
        return lines


def models_busy_s(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, float]:
    """How long each model's executions took between two answers of `AsyncClient.statistics`; of servers the busiest."""
    busy: dict[str, float] = {}
    for url, models in after.items():
        earlier = {model["name"]: _executions_ns(model) for model in before.get(url, ())}
        for model in models:
            seconds = (_executions_ns(model) - earlier.get(model["name"], 0)) / 1e9
            busy[model["name"]] = max(busy.get(model["name"], 0.0), seconds)
    return busy


def _executions_ns(model: Mapping[str, Any]) -> int:
    batches = model.get("batch_stats", ())  # by batch size; unlike inference_stats, each execution counts once
    return sum(int(batch.get("compute_infer", {}).get("ns", 0)) for batch in batches)
