"""Once a second: reads the cards' sensors and hands all metrics on."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Protocol

from .metrics import Labels, Metrics
from .power import PowerMeter, open_meter
from .scheduler import CardPool
from .worker import CardWorker

_log = logging.getLogger(__name__)
_INTERVAL_S = 1.0


class Sink(Protocol):
    """Where metrics go."""

    def put(self, name: str, labels: Labels, value: float) -> None:
        """Note that this metric of `metrics.FAMILIES` stands at `value`."""
        ...


class MetricsExporter:
    """A thread that keeps a sink up to date.

    Args:
        metrics: where the figures are.
        pool: whose cards have sensors.
        sink: where the figures go; None for nowhere.
    """

    def __init__(self, metrics: Metrics, pool: CardPool, sink: Sink | None) -> None:
        self._metrics, self._pool, self._sink = metrics, pool, sink
        self._ended = threading.Event()
        self._last_s = time.monotonic()
        self._meters: dict[str, PowerMeter] = {}
        self._silent: set[str] = set()  # cards whose sensors could not be read the last time
        self._thread = threading.Thread(target=self._work, name="publisher", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while not self._ended.wait(_INTERVAL_S):
            try:
                self._look()
                self._publish()
            except Exception:
                _log.exception("metrics could not be published")

    def _look(self) -> None:
        now_s = time.monotonic()
        elapsed_s, self._last_s = now_s - self._last_s, now_s
        self._metrics.add("resnet50_uptime_seconds_total", elapsed_s)
        self._metrics.set("resnet50_cards_ready", self._pool.working)
        for worker in self._pool.workers:
            kernel = worker.kernel
            if kernel is None:
                continue
            try:
                self._read_sensors(worker, kernel.device, elapsed_s)
                self._silent.discard(worker.card)
            except Exception as error:  # a card without sensors is a card all the same
                if worker.card not in self._silent:
                    _log.warning("card '%s': its sensors cannot be read now (%s)", worker.card, error)
                self._silent.add(worker.card)

    def _read_sensors(self, worker: CardWorker, device: Any, elapsed_s: float) -> None:
        meter = self._meters.get(worker.card) or self._meters.setdefault(worker.card, open_meter(device))
        if not meter.is_of_card:  # a software card has no power of its own; the machine's is for node_exporter to tell
            return
        power_w = meter.read_w()["board"]
        self._metrics.set("resnet50_power_watts", power_w, card=worker.card)
        self._metrics.add("resnet50_energy_joules_total", power_w * elapsed_s, card=worker.card)
        temperature = getattr(device.device_info, "mOnChipTemp", None)
        if temperature is not None:
            self._metrics.set("resnet50_temperature_celsius", temperature, card=worker.card)

    def _publish(self) -> None:
        if self._sink is not None:
            for name, labels, value in self._metrics.samples():
                self._sink.put(name, labels, value)

    def close(self) -> None:
        """End the thread, after the last figures."""
        self._ended.set()
        self._thread.join()
        try:
            self._look()
            self._publish()
        except Exception:
            _log.exception("the last metrics could not be published")
