"""Which card is taken when none is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fakealveos
import pytest
from resnet50_triton import cards
from resnet50_triton.standalone.default_card import default_card
from resnet50_triton.xclbin.kernel_info import KernelInfo, read_xclbin

U200, U250 = "xilinx_u200_xdma_201830_2", "xilinx_u250_xdma_201830_2"


@pytest.fixture
def xclbin(sample: Path) -> KernelInfo:
    return replace(read_xclbin(sample / "card.xclbin"), target="hw")


@pytest.mark.parametrize(
    ("shells", "shell", "chosen"),
    [
        ([U250], U250, "xrt:0"),
        ([U200, U250, U250], U250, "xrt:1"),
        ([U200, U250], "xilinx_u50", "xrt:0"),  # as the original: PYNQ's default card
        ([], U250, "xrt:0"),  # opening it fails with what is missing
    ],
)
def test_the_shell_chooses_among_alveos(
    xclbin: KernelInfo, monkeypatch: pytest.MonkeyPatch, shells: list[str], shell: str, chosen: str
) -> None:
    monkeypatch.setitem(cards.KINDS, "xrt", "fakealveos")
    monkeypatch.setattr(fakealveos, "SHELLS", shells)
    assert default_card(xclbin, None, shell) == chosen
    assert default_card(xclbin, "xrt:7", shell) == "xrt:7"


def test_only_an_xclbin_for_software_cards_chooses_one(sample: Path) -> None:
    xclbin = read_xclbin(sample / "card.xclbin")
    assert default_card(xclbin) == "software:0"
    assert default_card(xclbin, "timing:0") == "timing:0"
    for target in ("hw", "hw_emu", "sw_emu"):
        assert default_card(replace(xclbin, target=target)).startswith("xrt:")
