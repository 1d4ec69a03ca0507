"""How many machines a load and a latency target need: the formula estimates, the simulation decides."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import BadParameter
from ..published import board_w_of_share
from .model import Machine
from .simulation import Simulated, simulate

Progress = Callable[[str], None]


def _silent(text: str) -> None:
    pass


_SEARCH_REQUESTS = 20_000
_CHECK_REQUESTS = 150_000
_STEPS = 9  # of bisection: the rate to 1/500
_CORE_LOAD = 0.8  # cores are chosen so that they are busy for this share at the cards' peak


@dataclass(frozen=True)
class Plan:
    """What a load needs. The simulation is of one machine with its share of it."""

    rate: float
    latency_s: float
    percent: float
    image_bytes: float
    machine: Machine
    machines: int
    on_paper: int  # machines by the formula alone
    bound: int  # machines by utilisation alone, without a latency target
    simulated: Simulated

    @property
    def cards(self) -> int:
        return self.machines * self.machine.cards

    @property
    def cores(self) -> int:
        return self.machines * self.machine.cores if self.machine.decode_s else 0

    @property
    def cards_w(self) -> float:
        """The boards' power, by the published figures."""
        return self.cards * board_w_of_share(self.rate / self.cards * self.machine.image_s)

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        share = self.rate / self.machines
        return {
            "rate": self.rate,
            "latency_s": self.latency_s,
            "percent": self.percent,
            "cards": self.cards,
            "cores": self.cores,
            "machines": self.machines,
            "machines_on_paper": self.on_paper,
            "machines_by_utilisation": self.bound,
            "machine": dataclasses.asdict(self.machine),
            "machine_rate": share,
            "card_load": self.rate / (self.machines * self.machine.cards_peak),
            "core_load": share / self.machine.decode_peak,
            "batch": self.simulated.batch,
            "simulated_latency_s": self.simulated.percentile_s(self.percent),
            "simulated_median_s": self.simulated.percentile_s(50),
            "queue_per_kernel": self.simulated.queue_per_kernel,
            "wait_per_kernel": self.simulated.wait_per_kernel,
            "network_bits_per_s": 8 * self.rate * self.image_bytes,
            "machine_network_bits_per_s": 8 * share * self.image_bytes,
            "cards_w": self.cards_w,
        }


def cores_for(machine: Machine) -> int:
    """Decoding cores that keep a machine's cards fed at their peak."""
    return max(1, math.ceil(machine.cards_peak * machine.decode_s / _CORE_LOAD))


def best_rate(machine: Machine, latency_s: float, percent: float = 99.0, progress: Progress = _silent) -> float:
    """The most images a second of one machine at which the simulated percentile meets the target.

    Raises:
        BadParameter: an idle machine does not keep it either.
    """

    def keeps(rate: float) -> bool:
        reached_s = simulate(machine, rate, _SEARCH_REQUESTS).percentile_s(percent)
        progress(f"  {rate:9,.0f} images/s a machine: {1e3 * reached_s:8.2f} ms")
        return reached_s <= latency_s

    low, high = machine.peak / 1000, machine.peak
    if not keeps(low):
        alone_s = machine.overhead_s + machine.decode_s + machine.kernel_s(machine.request_images)
        raise BadParameter(
            f"{1e3 * latency_s:g} ms were asked for, but a request takes {1e3 * alone_s:.3g} ms on a machine that has "
            "nothing else to do; ask for more, or send smaller requests"
        )
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low


def plan(
    machine: Machine,
    rate: float,
    latency_s: float,
    percent: float = 99.0,
    image_bytes: float = 0.0,
    progress: Progress = _silent,
) -> Plan:
    """How many machines of a kind a load needs.

    Args:
        machine: the kind.
        rate: images/s of all.
        latency_s: the target.
        percent: for how many percent of the requests.
        image_bytes: on the wire.
        progress: told each step.

    Raises:
        BadParameter: no number of machines meets the target, or a figure makes no sense.
    """
    if not (rate > 0 and latency_s > 0 and 0 < percent < 100):
        raise BadParameter(
            f"{rate:g} images/s, {latency_s:g} s and {percent:g} % were asked for; all have to be above 0, and the "
            "percent below 100"
        )
    machines = math.ceil(rate / best_rate(machine, latency_s, percent, progress))
    step = max(1, machines // 200)

    def check(count: int) -> Simulated | None:
        """One machine with its share of the load, for longer than the search looked; None where it is late."""
        simulated = simulate(machine, rate / count, _CHECK_REQUESTS, seed=1)
        reached_s = simulated.percentile_s(percent)
        progress(f"  {count:9,} machines: {1e3 * reached_s:19.2f} ms")
        return simulated if reached_s <= latency_s else None

    kept = check(machines)
    while kept is None:
        machines += step
        kept = check(machines)
    while machines > step and (fewer := check(machines - step)):
        machines, kept = machines - step, fewer
    on_paper = machine.rate_at(latency_s)
    return Plan(
        rate=rate,
        latency_s=latency_s,
        percent=percent,
        image_bytes=image_bytes,
        machine=machine,
        machines=machines,
        on_paper=math.ceil(rate / on_paper) if on_paper else 0,
        bound=math.ceil(rate / machine.peak),
        simulated=kept,
    )


def as_text(made: Plan) -> str:
    """For people."""
    d, machine = made.as_dict(), made.machine
    median_ms, reached_ms = 1e3 * d["simulated_median_s"], 1e3 * d["simulated_latency_s"]
    network_gbit, machine_gbit = d["network_bits_per_s"] / 1e9, d["machine_network_bits_per_s"] / 1e9
    share = f"at {100 * d['card_load']:.0f} % of what full batches could do, {d['batch']:.1f} images a run"
    decoding = f"decoding, busy for {100 * d['core_load']:.0f} %" if made.cores else "no decoding: clients send pixels"
    rows = (
        ("cards", f"{made.cards:,}", share),
        ("cores", f"{made.cores:,}", decoding),
        ("machines", f"{made.machines:,}", f"of {machine.cards} cards, {d['machine_rate']:,.0f} images/s each"),
        ("latency", f"{reached_ms:.1f} ms", f"simulated; median {median_ms:.1f} ms"),
        ("network", f"{network_gbit:,.1f} Gbit/s", f"in, {machine_gbit:.2f} a machine"),
        ("power", f"{made.cards_w:,.0f} W", "the cards, by the U250's published figures; hosts not counted"),
    )
    bounds = f"machines on paper: {made.on_paper or '-'}; by utilisation alone: {made.bound}; none of them spare"
    target = f"{made.rate:,.0f} images/s, {made.percent:g} % of the requests in {1e3 * made.latency_s:g} ms:"
    return "\n".join([target, *(f"  {name:9}{value:>14}  {note}" for name, value, note in rows), bounds])
