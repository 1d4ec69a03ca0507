"""The roofline's bottleneck and advice, on chains whose answer is known."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.roofline.advice import CARD, COPY, DECODE, TRANSPORT, Chain, Stage, advise, bottleneck

# Of an image: 1.1 ms decoding, 0.3 ms on the way, 0.05 ms copying; a card of 2600/s that leaves the processor free.
DECODING, WAY, COPYING = 1.1, 0.3, 0.05


def alveo(cores: int, workers: int, achieved: float, card: float = 2600.0) -> Chain:
    stages = (
        Stage(DECODE, 1000 * workers / DECODING, DECODING),
        Stage(TRANSPORT, 1000 * cores / WAY, WAY),
        Stage(COPY, 20_000, COPYING),
        Stage(CARD, card, 0),
    )
    return Chain("classify", cores, False, stages, achieved, {"all": DECODING + WAY + COPYING}, 0.0, workers)


def software(achieved: float = 210.0) -> Chain:
    stages = (
        Stage(DECODE, 1800, DECODING),
        Stage(TRANSPORT, 6600, WAY),
        Stage(COPY, 20_000, COPYING),
        Stage(CARD, 250, 8.0),
    )
    return Chain("classify", 2, True, stages, achieved, {"all": 9.45}, 0.0, 2)


def test_two_cores_cannot_decode_for_an_alveo() -> None:
    chain = alveo(cores=2, workers=2, achieved=1350)
    assert bottleneck(chain) == DECODE
    told = " / ".join(advise(chain))
    assert "decode is the limit: 909/s a core" in told
    assert "the card could take 2600/s: that needs 3.8 cores for everything but the card, and 2 are here" in told
    assert "add" not in told  # both cores decode already


def test_too_few_decode_workers_on_many_cores() -> None:
    chain = alveo(cores=16, workers=1, achieved=900)
    assert bottleneck(chain) == DECODE
    assert "add 2 decode workers (parameter workers of preprocess): 1 decode 909/s" in " / ".join(advise(chain))


def test_one_decode_worker_too_few() -> None:
    assert "add 1 decode worker (" in " / ".join(advise(alveo(cores=16, workers=2, achieved=1800)))


def test_a_card_that_the_cores_feed_easily() -> None:
    told = advise(alveo(cores=16, workers=16, achieved=2590))
    assert told == ["the card is the limit: 2600/s", "add 3 cards: the cores could feed 4"]


def test_a_card_that_the_cores_just_feed() -> None:
    told = advise(alveo(cores=4, workers=4, achieved=2590))
    assert told[1] == "a second card would bring at most 2759/s, which is what the 4 cores allow"


def test_a_software_card_is_its_own_limit() -> None:
    told = advise(software())
    assert told[0].startswith("the card is the limit: the network takes 8.00 ms of the 9.45 ms")
    assert told[1] == "every core more brings 106/s"
    assert "that needs 3.8 cores for everything but the card, and 2 are here" in told[2]
    assert len(told) == 3


def test_transport_of_one_image_a_request() -> None:
    stages = (Stage(TRANSPORT, 2100, 0.9), Stage(COPY, 20_000, COPYING), Stage(CARD, 2600, 0))
    chain = Chain("resnet50", 2, False, stages, 2000, {"all": 0.95}, 0.0)
    assert bottleneck(chain) == TRANSPORT
    told = " / ".join(advise(chain))
    assert "send more images a request" in told
    assert "as it is, that needs 2.5 cores" in told


def test_copying_by_one_thread_can_be_the_limit() -> None:
    stages = (Stage(TRANSPORT, 9000, 0.1), Stage(COPY, 1500, 0.6), Stage(CARD, 2600, 0))
    chain = Chain("resnet50", 8, False, stages, 1490, {"all": 0.7}, 0.0)
    assert advise(chain)[0].startswith("copying into the card's buffers is the limit: 1500/s")


def test_far_below_the_roof_with_idle_cores_more_requests_are_asked_for() -> None:
    told = advise(alveo(cores=16, workers=16, achieved=500))[0]
    assert told == "500/s is 19% of the roof of 2600/s, and the cores are busy for 5%: keep more requests under way"


def test_far_below_the_roof_because_of_others_that_is_said() -> None:
    told = advise(dataclasses.replace(software(achieved=85), others=0.6))[0]
    assert "others used 60% of the cores: measure again when the machine is quiet" in told


def test_far_below_the_roof_with_busy_cores_that_is_said() -> None:
    chain = dataclasses.replace(software(achieved=150), cpu_ms={"all": 13.0})
    assert "the cores are busy (98%), with more than the stages alone cost them" in advise(chain)[0]


def test_a_stage_that_is_not_there_is_an_error() -> None:
    lonely = Chain("copy alone", 2, False, (Stage(DECODE, 10, 1), Stage(TRANSPORT, 20, 1)), 5, {"all": 1.0}, 0.0)
    with pytest.raises(ValueError, match="has no stage 'card'"):
        advise(lonely)
