"""Reads the cards' sensors and publishes all metrics, once a second."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import Any, Protocol

from .metrics import FAMILIES, Labels, Metrics
from .power import PowerMeter, open_meter
from .queue import State
from .scheduler import Scheduler
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
        scheduler: whose cards have sensors.
        sink: where the figures go; None for nowhere.
    """

    def __init__(self, metrics: Metrics, scheduler: Scheduler, sink: Sink | None) -> None:
        self._metrics, self._scheduler, self._sink = metrics, scheduler, sink
        self._ended = threading.Event()
        self._last_s = time.monotonic()
        self._meters: dict[str, PowerMeter] = {}
        self._unreadable: set[str] = set()  # cards whose sensors could not be read the last time
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(_INTERVAL_S):
            self._export()

    def _export(self) -> None:
        try:
            self._collect()
            if self._sink is not None:
                for name, labels, value in self._metrics.samples():
                    if not self._ended.is_set() or FAMILIES[name].kind == "counter":  # no state of what is closed
                        self._sink.put(name, labels, value)
        except Exception:
            _log.exception("metrics could not be exported")

    def _collect(self) -> None:
        now_s = time.monotonic()
        elapsed_s, self._last_s = now_s - self._last_s, now_s
        standby = self._scheduler.standby
        self._metrics.add("resnet50_uptime_seconds_total", elapsed_s)
        self._metrics.set("resnet50_cards_ready", self._scheduler.ready_cards)
        self._metrics.set("resnet50_standby_ready", standby is not None and standby.queue.state is State.READY)
        for worker in self._scheduler.workers:
            self._read_sensors(worker, elapsed_s)

    def _read_sensors(self, worker: CardWorker, elapsed_s: float) -> None:
        """Read a card's sensors. An error silences them only for as long as it lasts."""
        kernel = worker.kernel
        if kernel is None:
            return
        try:
            self._read_power(worker.card, kernel.device, elapsed_s)
        except Exception as error:  # a card without sensors can serve
            if worker.card not in self._unreadable:
                self._unreadable.add(worker.card)
                _log.warning("card '%s': its sensors cannot be read now (%s)", worker.card, error)
            for name in ("resnet50_power_watts", "resnet50_temperature_celsius"):
                if self._metrics.value(name, card=worker.card):
                    self._metrics.set(name, math.nan, card=worker.card)
        else:
            if worker.card in self._unreadable:
                self._unreadable.discard(worker.card)
                _log.warning("card '%s': its sensors can be read again", worker.card)

    def _read_power(self, card: str, device: Any, elapsed_s: float) -> None:
        meter = self._meters.get(card) or self._meters.setdefault(card, open_meter(device))
        if not meter.is_of_card:  # a software card has no power of its own; node_exporter has the machine's
            return
        power_w = meter.read_w()["board"]
        self._metrics.set("resnet50_power_watts", power_w, card=card)
        self._metrics.add("resnet50_energy_joules_total", power_w * elapsed_s, card=card)
        temperature = getattr(device.device_info, "mOnChipTemp", None)
        if temperature is not None:
            self._metrics.set("resnet50_temperature_celsius", temperature, card=card)

    def close(self) -> None:
        """End the thread, after the last figures."""
        self._ended.set()
        self._thread.join()
        self._export()
