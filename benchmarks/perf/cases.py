"""What `make bench` measures: servers, and loads on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

PIXELS, JPEG = "PIXELS", "JPEG"
GRPC, HTTP, SHARED = "gRPC", "HTTP", "shared memory"
TRANSPORTS = (GRPC, HTTP, SHARED)
MODELS = {PIXELS: "resnet50", JPEG: "classify"}
FULL = 100  # images a request, where batches are the client's: the original's setting for throughput


@dataclass(frozen=True)
class Setup:
    """A server that is measured: its card, and the preset that it runs with ("" for none)."""

    card: str
    preset: str = ""

    @property
    def name(self) -> str:
        kind = self.card.partition(":")[0]
        return f"{kind}, preset {self.preset}" if self.preset else kind


@dataclass(frozen=True)
class Case:
    """One load on one server."""

    server: str  # the name of a Setup
    input: str
    transport: str
    batch: int  # images a request
    concurrency: int  # requests in flight

    @property
    def name(self) -> str:
        return f"{self.server}: {self.input} over {self.transport}, {self.concurrency} x {self.batch}"

    @property
    def has_target(self) -> bool:
        """Whether it is measured against a target (`checks`)."""
        load = (self.concurrency, self.batch)
        return self.server == TIMING.name and self.input == PIXELS and load in ((1, 1), (4, FULL))


SOFTWARE, TIMING = Setup("software:0"), Setup("timing:0")
PRESETS = (Setup("timing:0", "latency"), Setup("timing:0", "throughput"))
SETUPS = (SOFTWARE, TIMING, *PRESETS)


def all_cases() -> Iterator[Case]:
    """Every load, in an order in which a server rests while the others are measured."""
    grpc_and_shared = (GRPC, SHARED)
    return _interleaved(
        [
            *_grid(TIMING, PIXELS, grpc_and_shared, [(1, 1), (1, 4), (1, 16), (1, 64), (FULL, 1), (FULL, 4)]),
            *_grid(TIMING, PIXELS, [HTTP], [(1, 1), (1, 16), (FULL, 4)]),
            *_grid(SOFTWARE, PIXELS, grpc_and_shared, [(1, 1), (1, 4), (1, 16), (32, 2)]),
            *_grid(SOFTWARE, PIXELS, [HTTP], [(1, 1), (1, 16), (32, 2)]),
            *_grid(TIMING, JPEG, [GRPC], [(1, 1), (1, 4), (1, 16), (1, 64), (32, 4)]),
            *_grid(TIMING, JPEG, [HTTP, SHARED], [(1, 1), (1, 16), (32, 4)]),
            *_grid(SOFTWARE, JPEG, [GRPC], [(1, 1), (1, 4), (1, 16), (32, 2)]),
            *_grid(SOFTWARE, JPEG, [HTTP, SHARED], [(1, 1), (1, 16), (32, 2)]),
            *_grid(TIMING, PIXELS, [SHARED], [(1, 256)]),
            *(
                case
                for setup in PRESETS
                for case in _grid(setup, PIXELS, [SHARED], [(1, 1), (1, 16), (1, 64), (1, 256)])
            ),
        ]
    )


def _grid(setup: Setup, kind: str, transports: Iterable[str], loads: Iterable[tuple[int, int]]) -> list[Case]:
    return [Case(setup.name, kind, transport, *load) for transport in transports for load in loads]


def _interleaved(cases: Iterable[Case]) -> Iterator[Case]:
    by_server: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_server[case.server].append(case)
    for row in zip_longest(*by_server.values()):
        yield from filter(None, row)
