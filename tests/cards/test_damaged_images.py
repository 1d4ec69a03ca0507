"""Damaged card images on a card: what PYNQ makes of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gatecard import GateCard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resnet50_pynq.card_image import build_card_image
from resnet50_pynq.cards.overlay import load_overlay
from resnet50_pynq.errors import BadCardImage
from resnet50_pynq.network.params import SHAPES, Network
from resnet50_pynq.xclbin_format import Kind, open_xclbin


@pytest.fixture(scope="module")
def image() -> bytes:
    """A card image with an empty network, whose bytes nobody looks at here."""
    return build_card_image(Network.check({name: np.zeros(shape, dtype) for name, (shape, dtype) in SHAPES.items()}))


@pytest.fixture(scope="module")
def places(image: bytes, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, int]]:
    """The image but for the network: ranges of bytes."""
    path = tmp_path_factory.mktemp("image") / "card.xclbin"
    path.write_bytes(image)
    with path.open("rb") as file:
        sections = open_xclbin(file, "image").sections
    bitstream = next(section for section in sections if section.kind == Kind.BITSTREAM)
    return [(0, bitstream.offset), (bitstream.offset + bitstream.size_bytes, len(image))]


@pytest.fixture(scope="module")
def card() -> Iterator[GateCard]:
    card = GateCard(8)
    yield card
    card.open.set()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_gives_an_overlay_or_bad_card_image(
    tmp_path: Path, image: bytes, places: list[tuple[int, int]], card: GateCard, data: st.DataObject
) -> None:
    """Any damage to headers, tables or metadata gives an overlay with the kernel's call, or BadCardImage."""
    damaged = bytearray(image)
    for _ in range(data.draw(st.integers(1, 4))):
        first, last = data.draw(st.sampled_from(places))
        place = data.draw(st.integers(first, last - 1))
        patch = data.draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 8, bytes(8)])))
        damaged[place : place + len(patch)] = patch
    path = tmp_path / "card.xclbin"
    path.write_bytes(damaged)
    with contextlib.suppress(BadCardImage):
        overlay = load_overlay(path, card)
        assert list(overlay.resnet50_1.signature.parameters) == ["in_r", "out", "weightsmem", "numReps"]


def test_what_only_pynq_looks_at(tmp_path: Path, image: bytes, card: GateCard) -> None:
    path = tmp_path / "card.xclbin"
    path.write_bytes(image.replace(b'hostSize="0x8"', b'hostSize="0y8"', 1))
    with pytest.raises(BadCardImage, match=r"card.xclbin: pynq cannot read it \(ValueError: .*0y8.*; copy the file"):
        load_overlay(path, card)
