"""What keeps an Alveo from being used, each with its message; XRT itself is not needed here (tests/xrt has it)."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cases import Case
from pynq._3rdparty import xrt as binding
from pynq.pl_server import xrt_device
from pynq.pl_server.xrt_device import XrtDevice
from resnet50_triton.cards import open_card, xrt, xrt_version
from resnet50_triton.errors import BadXclbin, CardNotFound
from resnet50_triton.xclbin.kernel_info import KernelInfo, read_xclbin

U250 = "xilinx_u250_xdma_201830_2"


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A machine with XRT 2.13: the list of its cards."""
    monkeypatch.setenv("XILINX_XRT", "/opt/xilinx/xrt")
    monkeypatch.setattr(binding, "XRT_SUPPORTED", True)
    monkeypatch.setattr(binding, "XRT_EMULATION", False, raising=False)
    monkeypatch.setattr(binding, "libc", SimpleNamespace(**dict.fromkeys(xrt_version._CALLS)))
    monkeypatch.setattr(xrt_device, "_xrt_version", (2, 13, 466))
    cards: list[Any] = []
    monkeypatch.setattr(xrt, "probed_devices", lambda: cards)
    return cards


def card(handle: Any = True) -> Any:
    device = XrtDevice.__new__(XrtDevice)
    device.handle = handle
    device._index = 0
    device._info = SimpleNamespace(mName=U250.encode())
    return device


def refusal() -> str:
    with pytest.raises(CardNotFound) as error:
        open_card("xrt:0")
    message = str(error.value)
    assert message.startswith("card 'xrt:0': ")
    assert message.endswith("; without an Alveo, card 'software:0' computes the same on the CPU")
    return message


def test_a_card_is_found(machine: list[Any]) -> None:
    machine += [SimpleNamespace(), card()]
    assert open_card("xrt:0") is machine[1]


def test_a_closed_card_is_found(machine: list[Any]) -> None:
    machine.append(card(handle=None))
    assert open_card("xrt:0") is machine[0]


@pytest.mark.parametrize("version", ["3.1.2", "4.0.0", "2.7.0"])
def test_another_pynq(machine: list[Any], monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    machine.append(card())
    monkeypatch.setattr(metadata, "version", lambda _: version)
    message = refusal()
    assert f"pynq {version} is installed, and 3.0.1 is the release that" in message
    assert "pip install pynq==3.0.1" in message


def test_no_xrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "XRT_SUPPORTED", False)
    monkeypatch.delenv("XILINX_XRT")
    assert "XRT is not set up (XILINX_XRT is not set); run 'source /opt/xilinx/xrt/setup.sh'" in refusal()


def test_an_emulation_that_pynq_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "XRT_SUPPORTED", False)
    monkeypatch.setenv("XCL_EMULATION_MODE", "sw_emu")
    assert "emulation mode 'sw_emu'; unset XCL_EMULATION_MODE" in refusal()


def test_an_old_xrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xrt_device, "_xrt_version", (2, 2, 2173))
    assert "XRT 2.2.2173 in /opt/xilinx/xrt is too old; 2.3 or newer is needed, 2.13 is known to work" in refusal()


def test_an_xrt_of_unknown_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xrt_device, "_xrt_version", (0, 0, 0))
    assert "cannot be read from /opt/xilinx/xrt/version.json; 2.3 or newer is needed" in refusal()


def test_an_xrt_that_dropped_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xrt_device, "_xrt_version", (2, 99, 1))
    monkeypatch.delattr(binding.libc, "xclExecBuf")
    message = refusal()
    assert "XRT 2.99.1 in /opt/xilinx/xrt is driven through its Python module pyxrt, which Python 3." in message
    assert "found in /opt/xilinx/xrt/python: none; XRT builds it for the distribution's Python" in message
    assert "has no xclExecBuf, and PYNQ 3.0.1 can drive XRT up to 2.15 only" in xrt_version.find_way().why


@pytest.mark.parametrize(("version", "native"), [((2, 15, 225), False), ((2, 16, 0), True), ((2, 23, 1), True)])
def test_the_way_is_found_by_the_version(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], native: bool
) -> None:
    monkeypatch.setattr(xrt_device, "_xrt_version", version)
    way = xrt_version.find_way()
    assert way.native == native
    assert ("is newer than 2.15" if native else "has all the calls that PYNQ 3.0.1 makes") in way.why


def test_no_card() -> None:
    assert "XRT finds no such card; found: none ('xbutil examine' lists what XRT sees)" in refusal()


def test_a_card_that_xrt_may_not_open(machine: list[Any]) -> None:
    machine.append(card(handle=False))
    assert "XRT cannot open it; may this user read and write /dev/dri/renderD*?" in refusal()


def image(case: Case, target: str = "hw", platform: str = U250) -> KernelInfo:
    return replace(read_xclbin(case.xclbin), target=target, platform=platform, path=Path("x.xclbin"))


@pytest.fixture
def software(software_cases: dict[str, Case]) -> Case:
    return software_cases["top5"]


def test_an_image_that_fits(software: Case) -> None:
    xrt.check_xclbin(card(), image(software))


def test_a_software_image_for_an_alveo(software: Case) -> None:
    with pytest.raises(BadXclbin) as error:
        xrt.check_xclbin(card(), image(software, target="software"))
    assert str(error.value) == (
        f"x.xclbin: this xclbin is for target software, card 'xrt:0' is a real {U250} and needs one for target hw; "
        "to serve this file name card 'software:0'"
    )


def test_an_emulation_image_for_an_alveo_and_the_reverse(software: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadXclbin, match=r"for target hw_emu, card 'xrt:0' is a real .* needs one for target hw$"):
        xrt.check_xclbin(card(), image(software, target="hw_emu"))
    monkeypatch.setattr(binding, "XRT_EMULATION", True)
    xrt.check_xclbin(card(), image(software, target="hw_emu"))
    with pytest.raises(BadXclbin, match=r"for target hw, card 'xrt:0' is XRT's emulation of .* for target hw_emu$"):
        xrt.check_xclbin(card(), image(software))


def test_an_image_for_another_shell(software: Case) -> None:
    with pytest.raises(BadXclbin) as error:
        xrt.check_xclbin(card(), image(software, platform="xilinx_u200_xdma_201830_2"))
    assert "this xclbin is for platform xilinx_u200_xdma_201830_2, card 'xrt:0' has the shell" in str(error.value)
    assert f"{U250}; flash the shell that the xclbin needs" in str(error.value)


@pytest.mark.parametrize(
    ("shell", "platform", "fits"),
    [
        (U250, U250, True),
        (U250, f"{U250}_1", False),
        (U250, "xilinx_u250_xdma_201830_1", False),
        (U250, "", False),
        ("xilinx_u250_gen3x16_xdma_shell_4_1", "xilinx_u250_gen3x16_xdma_4_1_202210_1", True),
        ("xilinx_u250_gen3x16_xdma_shell_4_1", "xilinx_u250_gen3x16_xdma_3_1_202020_1", False),
        ("xilinx_u250_gen3x16_xdma_shell_4_1", "xilinx_u250_gen3x16_xdma_4_10_202210_1", False),
        ("xilinx_u250_gen3x16_base_4", "xilinx_u250_gen3x16_xdma_4_1_202210_1", False),
        ("", U250, False),
    ],
)
def test_shells_and_platforms(shell: str, platform: str, fits: bool) -> None:
    assert xrt.same_platform(shell, platform) is fits
