"""Which card a name opens."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pynq._3rdparty import xrt
from pynq.pl_server.device import Device
from resnet50_triton.cards import open_card
from resnet50_triton.errors import BadParameter, CardNotFound


def test_missing_software_cards_are_made_once() -> None:
    card = open_card("software:3")
    assert card.tag == "software:3"
    assert open_card("software:3") is card
    assert Device.devices.count(card) == 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("sofware:1", "did you mean 'software:1'"),
        ("Software:0", "did you mean 'software:0'"),
        ("xtr:2", "did you mean 'xrt:2'"),
        ("software", "did you mean 'software:0'"),
        ("xrt0", "did you mean 'xrt:0'"),
        ("software:-1", "did you mean 'software:0'"),
        ("software:x", "did you mean 'software:0'"),
        ("", "did you mean 'software:0'"),
        ("fpga:0", "kinds: software, xrt, timing"),
    ],
)
def test_unknown_names_get_a_hint(name: str, hint: str) -> None:
    with pytest.raises(BadParameter, match=f"card '{name}'.*{hint}"):
        open_card(name)


def test_an_alveo_is_never_replaced() -> None:
    if xrt.XRT_SUPPORTED:
        pytest.skip("XRT is set up here")
    with pytest.raises(CardNotFound, match=r"'xrt:2': XRT is not set up .*XILINX_XRT.*'software:2' computes the same"):
        open_card("xrt:2")


def _run(code: str, **environment: str) -> str:
    import os

    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return result.stdout + result.stderr


def test_environment_says_how_many_pynq_lists() -> None:
    code = "import resnet50_triton.cards.software\nfrom pynq.pl_server.device import Device\n"
    code += "print([d.tag for d in Device.devices], Device.active_device.tag)"
    assert "['software:0', 'software:1'] software:0" in _run(code, RESNET50_SOFTWARE_CARDS="2")
    assert "RESNET50_SOFTWARE_CARDS is 'two', expected a whole number" in _run(code, RESNET50_SOFTWARE_CARDS="two")


_REAL = """
from pynq._3rdparty import xrt
from pynq.pl_server.device import Device
from pynq.pl_server.xrt_device import XrtDevice
XrtDevice._probe_ = classmethod(lambda cls: [Device("xrt0")])  # a machine with a card
from resnet50_triton.cards import open_card
"""


def test_a_real_card_stays_pynqs_default() -> None:
    code = _REAL + "open_card('software:0'); print([d.tag for d in Device.devices], Device.active_device.tag)"
    assert "['xrt0', 'software:0'] xrt0" in _run(code)


def test_cards_open_off_the_main_thread_and_after_a_failed_probe() -> None:
    code = """
import asyncio, threading
from pynq.pl_server.device import Device
from pynq.pl_server.xrt_device import XrtDevice
failures = [1]
def probe(cls):
    asyncio.get_event_loop()  # what XrtDevice's constructor does
    if failures.pop() if failures else 0:
        raise RuntimeError("first probe")
    return [Device("xrt0")]
XrtDevice._probe_ = classmethod(probe)
from resnet50_triton.cards import open_card
def work():
    try:
        open_card("software:1")
    except RuntimeError as error:
        print("failed:", error)
    print(open_card("software:1").tag, [d.tag for d in Device.devices])
thread = threading.Thread(target=work); thread.start(); thread.join()
"""
    output = _run(code)
    assert "failed: first probe" in output
    assert "software:1 ['xrt0', 'software:0', 'software:1']" in output


def test_a_broken_xrt_is_named() -> None:
    code = "from resnet50_triton.cards import open_card\nopen_card('software:0')"
    output = _run(code, XILINX_XRT="/nonexistent")
    assert "CardNotFound: card 'software:0': pynq cannot load XRT" in output
    assert "correct XILINX_XRT, or unset it" in output


def test_a_software_card_never_fails_on_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults are a kind of their own: nothing in the environment makes a product's card fail."""
    monkeypatch.setenv("RESNET50_FAULTS", "/nonexistent/faults.json")
    assert "PURPOSE" not in open_card("software:8").name
    assert "PURPOSE" in open_card("faulty:8").name


def test_a_faulty_card_without_its_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESNET50_FAULTS", raising=False)
    with pytest.raises(BadParameter, match=r"'faulty:7': environment RESNET50_FAULTS is not set.*'software:7'"):
        open_card("faulty:7")
