"""The rules of the hardware that emulated cards enforce, each broken once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import Case
from gatecard import GateCard
from pynq import Overlay, allocate
from resnet50_triton.cards import open_card
from resnet50_triton.errors import BadXclbin, CardError, CardRule
from resnet50_triton.runtime.overlay import load_overlay
from resnet50_triton.xclbin.kernel_info import read_xclbin


class Bench:
    def __init__(self, card: GateCard, xclbin: Path) -> None:
        self.card = card
        self.runs: list[Any] = []
        self.overlay = load_overlay(read_xclbin(xclbin), card)
        self.kernel = self.overlay.resnet50_1
        self.pixels = self.allocate((2, 224, 224, 3), np.uint8, "bank0")
        self.out = self.allocate((2, 5), np.uint32, "bank0")
        self.weights = self.allocate((1000, 2048), np.int8, "PLRAM0")

    def allocate(self, shape: Any, dtype: Any, bank: str) -> Any:
        return allocate(shape, dtype, target=getattr(self.overlay, bank))

    def start(self, images: int = 2, **other: Any) -> Any:
        arguments = {"in_r": self.pixels, "out": self.out, "weightsmem": self.weights, "numReps": images}
        run = self.kernel.start(**(arguments | other))
        self.runs.append(run)
        return run

    def close(self) -> None:
        """Let every run end, or the buffers of one that is left would be freed, unseen, while it uses them."""
        self.card.open.set()
        for run in self.runs:
            with suppress(CardError):
                run.wait()

    def address(self, name: str, address: int) -> Any:
        """A stand-in for the argument `name` with this device address."""
        view = getattr(self, name).view()
        view.device_address = address
        return view


@pytest.fixture
def bench(gate: GateCard, software_cases: dict[str, Case]) -> Iterator[Bench]:
    gate.open.set()
    bench = Bench(gate, software_cases["top5"].xclbin)
    yield bench
    bench.close()


def test_a_start_that_breaks_no_rule(bench: Bench) -> None:
    bench.pixels[:, 0, 0, 0] = 3, 4
    bench.pixels.sync_to_device()
    bench.start().wait()
    bench.out.sync_from_device()
    assert bench.out.tolist() == [[3] * 5, [4] * 5]


def test_use_before_programming(gate: GateCard, software_cases: dict[str, Case]) -> None:
    overlay = Overlay(str(software_cases["top5"].xclbin), download=False, device=gate)
    with pytest.raises(CardRule, match=r"gate:7: used before it was programmed.*download=True"):
        allocate((4,), np.uint8, target=overlay.bank0)
    with pytest.raises(CardRule, match="used before it was programmed"):
        gate.open_context(overlay.ip_dict["resnet50_1"])
    with pytest.raises(CardRule, match="used before it was programmed"):
        gate.read_registers(0x1800000, 4)


def test_overlay_of_another_image_than_the_cards(bench: Bench, software_cases: dict[str, Case]) -> None:
    other = Overlay(str(software_cases["logits"].xclbin), download=False, device=bench.card)
    with pytest.raises(CardRule, match=r"the overlay is of xclbin .* the card holds"):
        bench.card.open_context(other.ip_dict["resnet50_1"])


def test_programming_over_allocated_buffers(bench: Bench, software_cases: dict[str, Case]) -> None:
    with pytest.raises(CardRule, match="another xclbin while 3 buffers are allocated; free them"):
        load_overlay(read_xclbin(software_cases["logits"].xclbin), bench.card)


def test_programming_while_the_kernel_runs(bench: Bench, software_cases: dict[str, Case]) -> None:
    bench.card.open.clear()
    bench.start()
    with pytest.raises(CardRule, match="programmed while the kernel runs"):
        load_overlay(read_xclbin(software_cases["logits"].xclbin), bench.card)


def test_the_same_image_again_keeps_the_memory(bench: Bench, software_cases: dict[str, Case]) -> None:
    bench.pixels[:, 0, 0, 0] = 3, 4
    bench.pixels.sync_to_device()
    kernel = load_overlay(read_xclbin(software_cases["top5"].xclbin), bench.card).resnet50_1
    kernel.call(bench.pixels, bench.out, bench.weights, 2)
    bench.out.sync_from_device()
    assert bench.out[:, 0].tolist() == [3, 4]


def test_start_without_a_context(bench: Bench) -> None:
    bench.card.free_bitstream()
    with pytest.raises(CardRule, match="started without a context"):
        bench.start()


def test_result_read_before_done(bench: Bench) -> None:
    bench.card.open.clear()
    handle = bench.start()
    with pytest.raises(CardRule, match=r"read by sync_from_device\(\) before the run .* was seen done; call wait"):
        bench.out.sync_from_device()
    bench.card.open.set()
    handle.wait()
    bench.out.sync_from_device()


def test_result_read_without_looking_at_done(bench: Bench) -> None:
    """The card has finished, but the program cannot know: the mistake is found even when it happens to go well."""
    bench.start()
    handle = bench.start()
    while not bench.card._commands.idle:
        pass
    with pytest.raises(CardRule, match="before the run"):
        bench.out.sync_from_device()
    assert handle.done
    bench.out.sync_from_device()


def test_input_written_while_the_kernel_runs(bench: Bench) -> None:
    bench.card.open.clear()
    handle = bench.start()
    with pytest.raises(CardRule, match=r"written by sync_to_device\(\) before the run"):
        bench.pixels.sync_to_device()
    bench.card.open.set()
    handle.wait()
    bench.pixels.sync_to_device()


@pytest.mark.parametrize(("name", "bank", "right"), [("out", "PLRAM0", "bank0"), ("weights", "bank0", r"PLRAM\[0\]")])
def test_buffer_in_the_wrong_bank(bench: Bench, name: str, bank: str, right: str) -> None:
    bench.weights.freebuffer()
    setattr(bench, name, bench.allocate((1000, 2048), np.int8, bank))
    if name == "out":
        bench.out.freebuffer()
        bench.out, bench.weights = bench.allocate((2, 5), np.uint32, bank), bench.out
    with pytest.raises(CardRule, match=f"is in .*, but the kernel's port is wired to {right}; allocate it there"):
        bench.start()


def test_unused_bank_is_no_excuse(bench: Bench) -> None:
    bank1 = bench.card.get_memory_by_name("bank1")
    pixels = allocate((2, 224, 224, 3), np.uint8, target=bank1)
    with pytest.raises(CardRule, match=r"'in' at 0x5.* is in bank1, but the kernel's port is wired to bank0"):
        bench.start(in_r=pixels)


@pytest.mark.parametrize(
    ("shape", "name", "found"),
    [((2, 224, 224, 3), "in", "301056"), ((2, 5), "out", "40"), ((999, 2048), "weightsmem", "2045952")],
)
def test_more_images_than_a_buffer_holds(bench: Bench, shape: Any, name: str, found: str) -> None:
    if name == "weightsmem":
        bench.weights.freebuffer()
        small, images = bench.allocate(shape, np.int8, "PLRAM0"), 2
    elif name == "out":
        bench.pixels = bench.allocate((3, 224, 224, 3), np.uint8, "bank0")
        small, images = bench.out, 3
    else:
        small, images = bench.pixels, 3
    with pytest.raises(CardRule, match=f"'{name}' at .*: {images} images need .* bytes, the buffer has {found} from"):
        bench.start(images, **{"in_r" if name == "in" else name: small})


def test_no_images(bench: Bench) -> None:
    with pytest.raises(CardRule, match="numReps is 0"):
        bench.start(0)


def test_freed_buffer(bench: Bench) -> None:
    old = bench.out
    old.freebuffer()
    bench.out = bench.allocate((2, 5), np.uint32, "bank0")  # does not get the old one's address
    with pytest.raises(CardRule, match=r"'out' at .* is in no buffer of this card \(freed"):
        bench.start(out=old)
    with pytest.raises(CardRule, match="was freed"):
        old.sync_from_device()
    old.freebuffer()  # as harmless as on XrtDevice


def test_buffer_freed_while_the_kernel_runs(bench: Bench) -> None:
    bench.card.open.clear()
    handle = bench.start()
    with pytest.raises(CardRule, match="freed while the kernel uses it; wait"):
        bench.out.freebuffer()
    bench.card.open.set()
    handle.wait()
    bench.out.freebuffer()
    assert bench.overlay.bank0.num_buffers == 1


def test_another_cards_buffer(bench: Bench, software_cases: dict[str, Case]) -> None:
    other = Bench(GateCard(8), software_cases["top5"].xclbin)
    with pytest.raises(CardRule, match=r"'in' at .* is in no buffer of this card .*another card's"):
        bench.start(in_r=other.pixels)


@pytest.mark.parametrize(("name", "step", "width"), [("pixels", 32, 64), ("out", 2, 4), ("weights", 4, 64)])
def test_unaligned_address(bench: Bench, name: str, step: int, width: int) -> None:
    argument = {"pixels": "in_r", "weights": "weightsmem"}.get(name, name)
    view = bench.address(name, getattr(bench, name).device_address + step)
    with pytest.raises(CardRule, match=f"not aligned to the port's {width} bytes"):
        bench.start(1, **{argument: view})


def test_address_outside_of_any_bank(bench: Bench) -> None:
    with pytest.raises(CardRule, match="'out' at 0x10 is in no buffer"):
        bench.start(out=bench.address("out", 0x10))


def test_out_of_bank_memory(bench: Bench) -> None:
    with pytest.raises(CardRule, match=r"out of memory in PLRAM\[0\]: asked for 2048000 bytes, 49152 of 2097152 are"):
        bench.allocate((1000, 2048), np.int8, "PLRAM0")
    bench.weights.freebuffer()
    bench.weights = bench.allocate((1000, 2048), np.int8, "PLRAM0")
    assert bench.overlay.PLRAM0.num_buffers == 1


def test_sync_beyond_the_buffer(bench: Bench) -> None:
    with pytest.raises(CardRule, match=r"sync of bytes 0\.\.4096 of buffer .*, which has 40"):
        bench.card.flush(bench.out.bo, 0, bench.pixels.virtual_address, 4096)


def test_no_default_bank(bench: Bench) -> None:
    with pytest.raises(CardRule, match=r"several memories are in use \(bank0, PLRAM\[0\]\); name one"):
        allocate((4,), np.uint8, target=bench.card)


def test_start_by_register_while_busy(bench: Bench) -> None:
    bench.card.open.clear()
    handle = bench.start()
    with pytest.raises(CardRule, match="AP_START written while the kernel runs"):
        bench.kernel.start_sw(bench.pixels, bench.out, bench.weights, 1)
    assert bench.kernel.register_map.CTRL.AP_IDLE == 0
    bench.card.open.set()
    handle.wait()
    assert bench.kernel.register_map.CTRL.AP_IDLE == 1


def test_register_outside_of_the_kernel(bench: Bench) -> None:
    with pytest.raises(CardRule, match="no register at 0x1801000, the kernel is at 0x1800000"):
        bench.card.read_registers(0x1801000, 4)


def test_waitfor(bench: Bench) -> None:
    bench.card.open.clear()
    first = bench.start()
    first._has_bo = True
    with pytest.raises(CardRule, match="waitfor= is not supported by XRT"):
        bench.kernel.start(bench.pixels, bench.out, bench.weights, 1, waitfor=(first,))


def test_a_failed_start_tells_by_either_path(bench: Bench) -> None:
    bench.card.fail_next = True
    handle = bench.start()
    with pytest.raises(CardError, match="gate:7: the kernel failed: ZeroDivisionError: made by the test"):
        handle.wait()
    bench.card.fail_next = True
    handle = bench.kernel.start_sw(bench.pixels, bench.out, bench.weights, 1)
    with pytest.raises(CardError, match="the kernel failed"):
        handle.wait()
    bench.start().wait()  # and the card goes on


def test_a_damaged_image(software_cases: dict[str, Case], tmp_path: Path) -> None:
    """PYNQ's own parser would read past the end of it."""
    damaged = tmp_path / "damaged.xclbin"
    damaged.write_bytes(software_cases["top5"].xclbin.read_bytes()[:500])
    with pytest.raises(BadXclbin):
        Overlay(str(damaged), device=open_card("software:0"))


def test_an_image_for_hardware_on_a_software_card(software_cases: dict[str, Case], tmp_path: Path) -> None:
    hardware = tmp_path / "hardware.xclbin"
    data = software_cases["top5"].xclbin.read_bytes()
    hardware.write_bytes(data.replace(b'target="software"', b'target="hw"      '))
    card = open_card("software:12")
    with pytest.raises(BadXclbin, match="no network in BITSTREAM: this xclbin is for target"):
        Overlay(str(hardware), device=card)
    with pytest.raises(CardRule, match="used before it was programmed"):
        card.programmed()


def test_an_xclbin_is_read_once(
    gate: GateCard, software_cases: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    from resnet50_triton.cards import emulated

    reads: list[str] = []
    monkeypatch.setattr(emulated, "read_xclbin", reads.append)
    load_overlay(read_xclbin(software_cases["top5"].xclbin), gate)
    assert reads == []


def test_a_file_that_was_replaced_since_it_was_read(
    gate: GateCard, software_cases: dict[str, Case], tmp_path: Path
) -> None:
    """What was checked is what is programmed."""
    path = tmp_path / "card.xclbin"
    path.write_bytes(software_cases["top5"].xclbin.read_bytes())
    xclbin = read_xclbin(path)
    path.write_bytes(software_cases["logits"].xclbin.read_bytes())
    with pytest.raises(BadXclbin, match=rf"card.xclbin: has UUID .*, and had {xclbin.uuid} when it was read"):
        load_overlay(xclbin, gate)
