"""The analytical model of a machine: its latency and capacity by formula. Times in seconds, rates in images/s."""

from __future__ import annotations

from dataclasses import dataclass

from ..published import IMAGE_S, RUN_S
from ..runtime.latency import LEAD_SHARE

# What the last percent of the requests waits, in runs of a card: who comes when the next batch is closed already
# waits for the rest of the run on the card, for that batch, and for its own.
_RUNS = LEAD_SHARE + 2


@dataclass(frozen=True)
class Machine:
    """One server with its cards and cores.

    Args:
        cards: how many.
        cores: decoding threads, one a core.
        run_s: what a run costs whatever its size; the published Alveo U250 by default.
        image_s: what each image adds.
        max_batch: images in a run at most (`kernel_batch_size`).
        buffer_sets: buffer sets a card (`buffer_sets`).
        decode_s: a core's time for decoding an image and carrying it through the server; 0 where clients send pixels.
        copy_s: an image from Triton's tensors to the card's memory, one after the other.
        overhead_s: added to each request by what is not modelled: gRPC, Triton's hops, threads.
        request_images: images in a request.
    """

    cards: int = 1
    cores: int = 1
    run_s: float = RUN_S
    image_s: float = IMAGE_S
    max_batch: int = 128
    buffer_sets: int = 3
    decode_s: float = 0.0
    copy_s: float = 0.0
    overhead_s: float = 0.0
    request_images: int = 1

    def kernel_s(self, images: float) -> float:
        """A run of so many images."""
        return self.run_s + self.image_s * images

    @property
    def cards_peak(self) -> float:
        """What the cards do with full batches: the utilisation bound."""
        return self.cards * self.max_batch / self.kernel_s(self.max_batch)

    @property
    def decode_peak(self) -> float:
        """What the cores decode when none ever waits."""
        return self.cores / self.decode_s if self.decode_s else float("inf")

    @property
    def copy_peak(self) -> float:
        """What one copying thread carries."""
        return 1 / self.copy_s if self.copy_s else float("inf")

    @property
    def peak(self) -> float:
        """The least of the bounds."""
        return min(self.cards_peak, self.decode_peak, self.copy_peak)

    def batch_at(self, rate: float) -> float:
        """The size at which batches settle: those that arrive at a card during one run are its next.

        b = rate_of_a_card * (run_s + image_s * b), solved for b.
        """
        share = rate / self.cards
        idle = 1 - share * self.image_s
        settled = share * self.run_s / idle if idle > 0 else self.max_batch
        return min(max(settled, self.request_images), self.max_batch)

    def latency_at(self, rate: float) -> float:
        """About the 99th percentile of a busy machine, without fluctuations: see `_RUNS`."""
        decoding_s = 2 * self.decode_s  # its own batch, and the one before
        return self.overhead_s + decoding_s + _RUNS * self.kernel_s(self.batch_at(rate))

    def rate_at(self, latency_s: float) -> float:
        """The rate at which `latency_at` reaches a limit; 0 where even batches of one take longer."""
        kernel_s = (latency_s - self.overhead_s - 2 * self.decode_s) / _RUNS
        batch = min((kernel_s - self.run_s) / self.image_s, self.max_batch)
        if batch < self.request_images:
            return 0.0
        return min(self.cards * batch / self.kernel_s(batch), self.peak)
