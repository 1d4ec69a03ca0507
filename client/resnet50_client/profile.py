"""Measures the stages of each image and how busy each part was, and names the bottleneck."""

from __future__ import annotations

from collections.abc import Mapping

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
UNTOLD = "not known (serve with --provenance)"
BUSY = 0.7  # from this share of the time on, a stage is what the others wait for
SMALL_BATCH = 8  # below, a card spends more on each run than on the images
CLIENT_ADVICE = (
    "its Python is at its limit: use --shm on one machine, leave out --pixels, or share the images among "
    "several clients"
)


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


class Profile:
    """Gathers the times of a run."""

    def __init__(self, begun_ns: int = 0) -> None:
        """Begin.

        Args:
            begun_ns: Unix time; images that were asked for earlier, by the run that is resumed, are in the table only.
        """
        self._begun_ns = begun_ns
        self._seconds = open_notes(f"CREATE TABLE seconds ({', '.join(DERIVED)})")  # of each image; NULL if unknown
        self._total_s = 0.0
        self._kernel_s: dict[str, float] = {}  # by card; each image's share of its batch
        self._runs = 0.0
        self._on_card = self._untold = 0
        self._is_software = False

    def add(self, prediction: Prediction) -> None:
        """Note one image."""
        derived, told = derive(prediction), prediction.provenance
        if derived:
            insert = f"INSERT INTO seconds VALUES ({', '.join('?' * len(DERIVED))})"
            self._seconds.execute(insert, tuple(map(derived.get, DERIVED)))
        if not derived or prediction.times is None or prediction.times.start_ns < self._begun_ns:
            return
        self._total_s += derived["total"]
        if told is None:
            self._untold += 1
        else:
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

    def busy(self, run_s: float, client_cpu_s: float) -> dict[str, float | None]:
        """What part of the run the card and the client were busy, the busiest card's; decoding is not among them.

        Only the server's own times say how long a card computed: Triton's count of a model's time ends where the model
        takes the request.

        Args:
            run_s: how long the run took.
            client_cpu_s: processor time of this process meanwhile.

        Returns:
            None for a card of which not all answers tell the times; nothing if the run asked for nothing.
        """
        if run_s <= 0:
            return {}
        card_s = None if self._untold else max(self._kernel_s.values(), default=None)
        return {"card": None if card_s is None else card_s / run_s, "client": client_cpu_s / run_s}

    def verdict(self, busy: Mapping[str, float | None], run_s: float, concurrency: int) -> str:
        """One sentence: what holds the run up, and what to change."""
        client, card = busy["client"] or 0.0, busy["card"]
        if client >= BUSY and client >= (card or 0.0):
            unless = ", unless the card is busier" if card is None else ""
            return f"the bottleneck is the client, busy {_percent(client)} of the time{unless}: {CLIENT_ADVICE}"
        if card is None:
            return "the bottleneck is not known: it is not the client"
        if card >= BUSY:
            return f"the bottleneck is the card, busy {_percent(min(1.0, card))} of the time: {self._card_advice()}"
        in_flight = self._total_s / run_s
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

    def _card_advice(self) -> str:
        if self._is_software:
            return "it computes on the CPU: give it more cores, or an Alveo"
        if self.mean_batch < SMALL_BATCH:
            return f"its batches hold {self.mean_batch:.1f} images on average: raise --concurrency to fill them"
        return "add a card: an instance on another one, or a second server with a second --url"

    def lines(self, busy: Mapping[str, float | None], run_s: float, concurrency: int) -> list[str]:
        """What was busy, and the verdict; arguments as of `verdict`."""
        if not busy:
            return []
        shares = ", ".join(f"{name} {UNTOLD if share is None else _percent(share)}" for name, share in busy.items())
        batch = f"; images in a batch, on average: {self.mean_batch:.1f}" if self.mean_batch else ""
        return [f"busy: {shares}{batch}", self.verdict(busy, run_s, concurrency)]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
