"""MLPerf's LoadGen, one test at a time, and what its log says."""

from __future__ import annotations

import array
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlperf_loadgen as lg

from benchmarks.loadgen.senders import Sender

SERVER_PERCENTILE = 0.99
FEWEST_QUERIES = 100  # of a Server test, so that there is a 99th percentile to speak of,
LONGER = 2  # as long as they do not make the test so many times longer


@dataclass(frozen=True)
class Outcome:
    """A test's figures by the names in LoadGen's log, and the failures that LoadGen does not know of."""

    log: dict[str, Any]
    failed: int
    error: str | None
    classes: dict[int, int]  # by picture; of an accuracy test

    def seconds(self, percentile: str) -> float:
        """A percentile of the latency, such as "99.00"."""
        return float(self.log[f"result_{percentile}_percentile_latency_ns"]) / 1e9


class LoadGen:
    """Tests of one sender."""

    def __init__(self, sender: Sender, pictures: int) -> None:
        """Prepare.

        Args:
            sender: takes the pictures to the server.
            pictures: how many it has.
        """
        self._sender, self._pictures = sender, pictures
        self._failed, self._error = 0, ""

    def single_stream(self, seconds: float) -> Outcome:
        """One query after the other."""
        return self._test(lg.TestScenario.SingleStream, seconds)

    def offline(self, seconds: float, expected_per_s: float) -> Outcome:
        """All queries at once, as many as take so long at the expected rate."""
        return self._test(lg.TestScenario.Offline, seconds, offline_expected_qps=expected_per_s)

    def server(self, seconds: float, rate: float, latency_s: float) -> Outcome:
        """Queries at random moments (Poisson), so many a second on average."""
        return self._test(
            lg.TestScenario.Server,
            seconds,
            server_target_qps=rate,
            server_target_latency_ns=round(latency_s * 1e9),
            server_target_latency_percentile=SERVER_PERCENTILE,
            min_query_count=FEWEST_QUERIES,
            max_duration_ms=round(1000 * LONGER * seconds),
        )

    def accuracy(self) -> Outcome:
        """Every picture once."""
        return self._test(lg.TestScenario.Offline, 0, mode=lg.TestMode.AccuracyOnly)

    def _test(self, scenario: Any, seconds: float, **settings: Any) -> Outcome:
        test = lg.TestSettings()
        test.scenario, test.mode = scenario, lg.TestMode.PerformanceOnly
        test.min_duration_ms, test.min_query_count = round(1000 * seconds), 1
        for name, value in settings.items():
            setattr(test, name, value)
        self._failed, self._error = 0, ""
        sut = lg.ConstructSUT(self._issue, lambda: None)
        library = lg.ConstructQSL(self._pictures, self._pictures, lambda _: None, lambda _: None)
        with tempfile.TemporaryDirectory(prefix="resnet50-loadgen-") as folder:
            log = lg.LogSettings()
            log.log_output = lg.LogOutputSettings()
            log.log_output.outdir = folder
            log.log_output.copy_summary_to_stdout = False
            log.enable_trace = False
            try:
                lg.StartTestWithLogSettings(sut, library, test, log)
            finally:
                lg.DestroyQSL(library)
                lg.DestroySUT(sut)
            return Outcome(
                read_log((Path(folder) / "mlperf_log_detail.txt").read_text()),
                self._failed,
                self._error or None,
                read_classes((Path(folder) / "mlperf_log_accuracy.json").read_text()),
            )

    def _issue(self, samples: Sequence[Any]) -> None:
        self._sender.send([s.id for s in samples], [s.index for s in samples], self._answered)

    def _answered(self, ids: Sequence[int], classes: Sequence[int], error: str | None) -> None:
        if error:
            self._failed += len(ids)
            self._error = error
        found = array.array("i", classes)  # LoadGen reads it before QuerySamplesComplete returns
        address, _ = found.buffer_info()
        size = found.itemsize
        lg.QuerySamplesComplete([lg.QuerySampleResponse(n, address + i * size, size) for i, n in enumerate(ids)])


def read_log(text: str) -> dict[str, Any]:
    """The values in mlperf_log_detail.txt, by name; of one that is there more than once the last."""
    values = {}
    for line in text.splitlines():
        entry = json.loads(line.removeprefix(":::MLLOG "))
        values[entry["key"]] = entry["value"]
    return values


def read_classes(text: str) -> dict[int, int]:
    """The class of each picture in mlperf_log_accuracy.json; empty where it was no accuracy test."""
    entries = json.loads(text) if text.strip() else []
    return {entry["qsl_idx"]: array.array("i", bytes.fromhex(entry["data"]))[0] for entry in entries}
