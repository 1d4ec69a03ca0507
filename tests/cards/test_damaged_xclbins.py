"""Damaged xclbins on a card: what PYNQ makes of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gatecard import GateCard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resnet50_triton.errors import BadXclbin
from resnet50_triton.network.parameters import SHAPES, Network
from resnet50_triton.runtime.overlay import load_overlay
from resnet50_triton.xclbin.container import Kind, open_xclbin
from resnet50_triton.xclbin.kernel_info import read_xclbin, write_xclbin


@pytest.fixture(scope="module")
def xclbin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An xclbin whose network is not used here."""
    network = Network.check({name: np.zeros(shape, dtype) for name, (shape, dtype) in SHAPES.items()})
    path = tmp_path_factory.mktemp("xclbin") / "sound.xclbin"
    write_xclbin(path, network)
    return path


@pytest.fixture(scope="module")
def places(xclbin: Path) -> list[tuple[int, int]]:
    """The xclbin but for the network: ranges of bytes."""
    with xclbin.open("rb") as file:
        sections = open_xclbin(file, "xclbin").sections
    bitstream = next(section for section in sections if section.kind == Kind.BITSTREAM)
    return [(0, bitstream.offset), (bitstream.offset + bitstream.size_bytes, xclbin.stat().st_size)]


@pytest.fixture(scope="module")
def card() -> Iterator[GateCard]:
    card = GateCard(8)
    yield card
    card.open.set()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_gives_an_overlay_or_bad_xclbin(
    tmp_path: Path, xclbin: Path, places: list[tuple[int, int]], card: GateCard, data: st.DataObject
) -> None:
    """Any damage to headers, tables or metadata gives an overlay with the kernel's call, or BadXclbin."""
    damaged = bytearray(xclbin.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        first, last = data.draw(st.sampled_from(places))
        place = data.draw(st.integers(first, last - 1))
        patch = data.draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 8, bytes(8)])))
        damaged[place : place + len(patch)] = patch
    path = tmp_path / "card.xclbin"
    path.write_bytes(damaged)
    with contextlib.suppress(BadXclbin):
        overlay = load_overlay(read_xclbin(path), card)
        assert list(overlay.resnet50_1.signature.parameters) == ["in_r", "out", "weightsmem", "numReps"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'hostSize="0x8"', b'hostSize="0y8"', r"pynq cannot read it \(ValueError: .*0y8.*\); copy the file again"),
        (b'mode="slave"', b'mode="save_"', r"pynq finds no kernel resnet50_1 in it \(found: none\); .* slave port"),
    ],
)
def test_what_only_pynq_looks_at(
    tmp_path: Path, xclbin: Path, card: GateCard, old: bytes, new: bytes, message: str
) -> None:
    path = tmp_path / "card.xclbin"
    path.write_bytes(xclbin.read_bytes().replace(old, new, 1))
    with pytest.raises(BadXclbin, match=f"card.xclbin: {message}"):
        load_overlay(read_xclbin(path), card)
