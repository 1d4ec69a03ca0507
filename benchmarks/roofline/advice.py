"""From ceilings and processor times to the bottleneck and what to do about it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

NEAR = 0.85  # of its roof: what is reached is what there is
DECODE, TRANSPORT, COPY, CARD = "decode", "transport and queue", "copy", "card"
ALVEO_IMAGES_PER_S = 2605.0  # published, at batch 100


@dataclass(frozen=True)
class Stage:
    """What a stage does alone, and what an image costs there.

    cpu_ms is processor time, of all threads and processes; 0 for a card that leaves the processor free.
    """

    name: str
    images_per_s: float
    cpu_ms: float


@dataclass(frozen=True)
class Chain:
    """One way through the server, and what was reached on it."""

    name: str
    cores: int
    is_software: bool  # the card computes on the same cores
    stages: tuple[Stage, ...]
    achieved: float  # images/s
    cpu_ms: dict[str, float]  # an image, by process, while that was reached
    others: float  # share of the cores that other programs used meanwhile
    decode_workers: int = 0

    @property
    def host_ms(self) -> float:
        """Processor time an image costs in all stages."""
        return sum(stage.cpu_ms for stage in self.stages)

    @property
    def cores_roof(self) -> float:
        """Images/s if the cores did nothing else than all stages."""
        return 1000 * self.cores / self.host_ms

    @property
    def roof(self) -> float:
        """Images/s that no arrangement of the stages can pass: the lowest stage, or the cores that they share."""
        return min(self.cores_roof, *(stage.images_per_s for stage in self.stages))

    @property
    def busy(self) -> float:
        """The share of the cores' time that was used."""
        return self.achieved * sum(self.cpu_ms.values()) / (1000 * self.cores)

    def stage(self, name: str) -> Stage | None:
        """The stage of a name, if the chain has it."""
        return next((stage for stage in self.stages if stage.name == name), None)


def bottleneck(chain: Chain) -> str:
    """The name of the stage that holds the chain up.

    A stage below what the cores allow for all stages together is it; otherwise the cores are, and with them the stage
    that takes most of their time.
    """
    lowest = min(chain.stages, key=lambda stage: stage.images_per_s)
    if lowest.images_per_s <= chain.cores_roof:
        return lowest.name
    return max(chain.stages, key=lambda stage: stage.cpu_ms).name


def advise(chain: Chain) -> list[str]:
    """What holds the chain up and what to change, a sentence each; first, where it is far below its roof, why."""
    name = bottleneck(chain)
    told = {CARD: _software_card if chain.is_software else _card, DECODE: _decode, TRANSPORT: _transport, COPY: _copy}
    sentences = told[name](chain)
    return [*([_below(chain)] if chain.achieved < NEAR * chain.roof else []), *sentences]


def _share(chain: Chain, stage: Stage) -> str:
    return f"{stage.cpu_ms:.2f} ms of the {chain.host_ms:.2f} ms of processor time that an image costs"


def _stage(chain: Chain, name: str) -> Stage:
    stage = chain.stage(name)
    if stage is None:
        raise ValueError(f"chain '{chain.name}' has no stage '{name}'")
    return stage


def _cores_for(chain: Chain, goal: float) -> str:
    """What the host needs besides the card for a rate."""
    card = _stage(chain, CARD)
    cores = goal * (chain.host_ms - card.cpu_ms) / 1000
    enough = "are enough" if cores <= chain.cores else "are here"
    return f"{cores:.1f} cores for everything but the card, and {chain.cores} {enough}"


def _software_card(chain: Chain) -> list[str]:
    card = _stage(chain, CARD)
    return [
        f"the card is the limit: the network takes {_share(chain, card)}",
        f"every core more brings {1000 / chain.host_ms:.0f}/s",
        f"an Alveo U250 takes {ALVEO_IMAGES_PER_S:.0f}/s and no processor time: "
        f"that needs {_cores_for(chain, ALVEO_IMAGES_PER_S)}",
    ]


def _card(chain: Chain) -> list[str]:
    card = _stage(chain, CARD)
    spare = chain.cores_roof / card.images_per_s
    if spare >= 2:
        return [
            f"the card is the limit: {card.images_per_s:.0f}/s",
            f"add {int(spare) - 1} card{'s' if spare >= 3 else ''}: the cores could feed {int(spare)}",
        ]
    return [
        f"the card is the limit: {card.images_per_s:.0f}/s",
        f"a second card would bring at most {chain.cores_roof:.0f}/s, which is what the {chain.cores} cores allow",
    ]


def _decode(chain: Chain) -> list[str]:
    decode, card = _stage(chain, DECODE), _stage(chain, CARD)
    per_core = 1000 / decode.cpu_ms
    goal = min(card.images_per_s, chain.cores_roof)
    wanted = min(chain.cores, ceil(goal / per_core))
    sentences = [f"decode is the limit: {per_core:.0f}/s a core, {_share(chain, decode)}"]
    if wanted > chain.decode_workers:
        more = wanted - chain.decode_workers
        sentences.append(
            f"add {more} decode worker{'s' if more > 1 else ''} (parameter workers of preprocess): "
            f"{chain.decode_workers} decode {decode.images_per_s:.0f}/s, and the rest could take {goal:.0f}/s"
        )
    if card.images_per_s > chain.cores_roof:
        sentences.append(
            f"the card could take {card.images_per_s:.0f}/s: that needs {_cores_for(chain, card.images_per_s)}"
        )
        sentences.append("or decode in the clients, and send PIXELS to resnet50")
    return sentences


def _transport(chain: Chain) -> list[str]:
    transport, card = _stage(chain, TRANSPORT), _stage(chain, CARD)
    sentences = [
        f"transport and queue are the limit: {transport.images_per_s:.0f}/s, {_share(chain, transport)}, "
        "the load's own client included",
        "send more images a request, pass them in shared memory, or run the clients on another machine",
    ]
    if card.images_per_s > chain.cores_roof:
        sentences.append(
            f"the card could take {card.images_per_s:.0f}/s: as it is, that needs "
            f"{_cores_for(chain, card.images_per_s)}"
        )
    return sentences


def _copy(chain: Chain) -> list[str]:
    copy = _stage(chain, COPY)
    return [
        f"copying into the card's buffers is the limit: {copy.images_per_s:.0f}/s, {_share(chain, copy)}",
        "it is bound by the memory: put the server on the card's NUMA node",
    ]


def _below(chain: Chain) -> str:
    reached = f"{chain.achieved:.0f}/s is {chain.achieved / chain.roof:.0%} of the roof of {chain.roof:.0f}/s"
    if chain.busy >= NEAR:
        return f"{reached}: the cores are busy ({chain.busy:.0%}), with more than the stages alone cost them"
    if chain.others > 1 - NEAR:
        return f"{reached}, and others used {chain.others:.0%} of the cores: measure again when the machine is quiet"
    return f"{reached}, and the cores are busy for {chain.busy:.0%}: keep more requests under way"
