"""A PYNQ device without an FPGA: memory, registers and the queue of runs of a card with one kernel.

What computes is left to the subclass (`_load`). Every rule of the hardware that a program can break is
enforced here, with CardRule: a program that runs on an emulated card is meant to run on an Alveo.
"""

from __future__ import annotations

import atexit
import threading
from pathlib import Path
from typing import Any

from pynq.pl_server.device import Device
from pynq.pl_server.xclbin_parser import XclBin

from ..errors import CardRule
from ..xclbin.kernel_info import KernelInfo, read_xclbin
from .bank import EmulatedBank
from .call import KernelPorts
from .commands import CommandQueue, ExecBuffer, RunHandle
from .memory import DeviceMemory

_AP_START, _AP_DONE, _AP_IDLE = 1, 2, 4
_EXIT_S = 5.0  # how long the process's end waits for runs that are still queued
_POLL_S = 1e-3  # PYNQ polls the control register in a busy loop: each read of a running kernel's blocks this long


class Programmed:
    """What a card holds from one programming to the next."""

    def __init__(self, card: EmulatedCard, xclbin: KernelInfo, kernel_address: int, commands: CommandQueue) -> None:
        self.xclbin = xclbin
        self.commands = commands
        self.memory = DeviceMemory(card.tag, card.index, xclbin.memories)
        self.ports = KernelPorts(card.tag, xclbin)
        self.kernel_address = kernel_address
        self.registers = bytearray(4096)


class EmulatedCard(Device):  # type: ignore[misc]  # pynq has no types
    """The parts of a PYNQ device that need no FPGA; see the module."""

    def __init__(self, tag: str, index: int) -> None:
        super().__init__(tag)
        self.index = index
        self.capabilities = {"REGISTER_RW": True, "CALLABLE": True, "ERT": True}
        self.timestamp: str | None = None
        self._expected: KernelInfo | None = None
        self._programmed: Programmed | None = None
        self._contexts: set[str] = set()
        self._register_run: RunHandle | None = None
        self._lock = threading.RLock()
        atexit.register(self._shut_down)

    def _shut_down(self) -> None:
        """End the threads, and drop what computes, while the interpreter is still whole."""
        if self._programmed is not None:
            self._programmed.commands.stop(_EXIT_S)
        self._programmed = None

    def _load(self, xclbin: KernelInfo) -> CommandQueue:
        """What takes the runs of this xclbin's kernel, and computes them. Called while nothing runs.

        Raises:
            BadXclbin: the xclbin is not for this kind of card.
        """
        raise NotImplementedError

    # Programming

    def programmed(self) -> Programmed:
        """What the card holds. Raises CardRule before it is programmed."""
        if self._programmed is None:
            raise CardRule(f"{self.tag}: used before it was programmed; make an Overlay with download=True first")
        return self._programmed

    @property
    def _commands(self) -> CommandQueue:
        return self.programmed().commands

    def expect(self, xclbin: KernelInfo) -> None:
        """Take an xclbin as it was read, so that the Overlay made of its file next does not read it again."""
        self._expected = xclbin

    def get_bitfile_metadata(self, bitfile_name: str) -> Any:
        """PYNQ's parsed xclbin; checked first, because PYNQ's parser reads past the end of a damaged one."""
        xclbin, self._expected = self._expected, None
        if xclbin is None or xclbin.path.resolve() != Path(bitfile_name).resolve():
            xclbin = read_xclbin(bitfile_name)  # an Overlay that was made without `expect`
        parser = XclBin(bitfile_name)
        parser.kernel_info = xclbin
        return parser

    def gen_cache(self, bitstream: Any, parser: Any = None) -> None:
        """Nothing: an xclbin needs no cache, as on XrtDevice."""

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Program the card; a card that already holds the same xclbin (by UUID) keeps its memory, as with XRT.

        Raises:
            BadXclbin: the xclbin is not for this kind of card.
            CardRule: buffers are still allocated or a run is not finished, and the xclbin is another one.
        """
        parser = parser or self.get_bitfile_metadata(bitstream.bitfile_name)
        xclbin: KernelInfo = parser.kernel_info
        with self._lock:
            self._contexts.clear()
            if self._programmed is None or self._programmed.xclbin.uuid != xclbin.uuid:
                self._require_unused()
                if self._programmed is not None:
                    self._programmed.commands.stop(0)
                address = int(parser.ip_dict[xclbin.kernel_name]["phys_addr"])
                self._programmed = Programmed(self, xclbin, address, self._load(xclbin))
            self.post_download(bitstream, parser)

    def _require_unused(self) -> None:
        if self._programmed is None:
            return
        if not self._programmed.commands.idle:
            raise CardRule(f"{self.tag}: programmed while the kernel runs; wait for it first")
        buffers = self._programmed.memory.count()
        if buffers:
            raise CardRule(
                f"{self.tag}: programmed with another xclbin while {buffers} buffers are allocated; free them first"
            )

    @property
    def events(self) -> Any:
        """Where a thread that has nothing to do can wait for the end of a run; None where it cannot."""
        return self._commands.events

    def free_bitstream(self) -> None:
        """Close all contexts; the card stays programmed, as with XRT."""
        self._contexts.clear()

    def reset_fpga(self) -> None:
        """Forget the xclbin, the memory and every run, as resetting the FPGA does; the buffers are void.

        A run that still computes is left to end by itself: it writes to memory that is not read any more.
        """
        with self._lock:
            if self._programmed is not None:
                self._programmed.commands.abandon()
            self._programmed = self._register_run = None
            self._contexts.clear()

    def close(self) -> None:
        """Nothing to close: the card lives as long as the process."""

    def open_context(self, description: dict[str, Any], shared: bool = True) -> int:  # noqa: ARG002  as XrtDevice's
        """Claim the kernel, before it can be started. Raises CardRule where the card holds another xclbin."""
        uuid = self.programmed().xclbin.uuid
        if description["xclbin_uuid"] != uuid:
            raise CardRule(
                f"{self.tag}: the overlay is of xclbin {description['xclbin_uuid']}, the card holds {uuid}; "
                "make the Overlay with download=True"
            )
        self._contexts.add(description["cu_name"])
        return int(description["cu_index"])

    def close_context(self, cu_name: str) -> None:
        """Give the kernel back. Raises CardRule where it is not open."""
        if cu_name not in self._contexts:
            raise CardRule(f"{self.tag}: context {cu_name} is not open")
        self._contexts.remove(cu_name)

    # Memory

    def get_memory(self, description: dict[str, Any]) -> EmulatedBank:
        """The bank that a `mem_dict` entry describes."""
        return EmulatedBank(self, description)

    def get_memory_by_name(self, name: str) -> EmulatedBank:
        """The bank with this tag, as "PLRAM[0]"."""
        self.programmed()
        return EmulatedBank(self, self.mem_dict[name])

    def get_memory_by_idx(self, idx: int) -> EmulatedBank:
        """The bank with this index in the xclbin."""
        self.programmed()
        return next(EmulatedBank(self, m) for m in self.mem_dict.values() if m["idx"] == idx)

    @property
    def default_memory(self) -> EmulatedBank:
        """The only bank in use. Raises CardRule where there are several."""
        self.programmed()
        used = [m for m in self.mem_dict.values() if m["used"]]
        if len(used) != 1:
            names = ", ".join(m["tag"] for m in used)
            raise CardRule(f"{self.tag}: several memories are in use ({names}); name one: allocate(..., target=...)")
        return EmulatedBank(self, used[0])

    def flush(self, bo: int, offset: int, ptr: int, size: int) -> None:
        """Copy a buffer, or a part of it, to the device. Raises CardRule."""
        memory = self.programmed().memory
        self._require_seen_done(bo, "written by sync_to_device()")
        memory.copy_in(bo, offset, ptr, size)

    def invalidate(self, bo: int, offset: int, ptr: int, size: int) -> None:
        """Copy a buffer, or a part of it, from the device. Raises CardRule."""
        memory = self.programmed().memory
        self._require_seen_done(bo, "read by sync_from_device()")
        memory.copy_out(bo, offset, ptr, size)

    def return_pointer(self, pointer: tuple[DeviceMemory, int]) -> None:
        """Free a buffer's device memory; PynqBuffer.freebuffer() calls it. Raises CardRule while a run uses it."""
        memory, bo = pointer
        if self._programmed is None or memory is not self._programmed.memory:
            return  # of before a reset
        if not self._commands.release(bo):
            raise CardRule(f"{self.tag}: buffer {bo} freed while the kernel uses it; wait for the run first")
        memory.free(bo)

    def _require_seen_done(self, bo: int, use: str) -> None:
        if self._commands.uses(bo):
            raise CardRule(
                f"{self.tag}: buffer {bo} {use} before the run that uses it was seen done; "
                "call wait() or look at .done first"
            )

    # Runs, through the scheduler or through the registers

    def get_exec_bo(self, size: int = 1024) -> ExecBuffer:
        """An empty command packet."""
        return ExecBuffer(size)

    def execute_bo(self, bo: ExecBuffer) -> RunHandle:
        """Queue the run that a packet states. Raises CardRule where it breaks a rule of the hardware."""
        with self._lock:
            return self._start(bo.registers())

    def execute_bo_with_waitlist(self, *_: Any) -> RunHandle:
        """Refuse, as XRT has done since 2.11."""
        raise CardRule(f"{self.tag}: waitfor= is not supported by XRT any more; runs follow the order of the calls")

    def set_event_loop(self, loop: Any) -> None:
        """Nothing: `wait_async` needs no registration here."""

    def _start(self, registers: bytes) -> RunHandle:
        programmed = self.programmed()
        if not self._contexts:
            raise CardRule(f"{self.tag}: started without a context; the overlay is no longer loaded, make a new one")
        calls = programmed.memory.calls
        call = calls.get(registers)  # a call that was checked holds as long as the buffers that there are
        if call is None:
            call = calls[registers] = programmed.ports.call(registers, programmed.memory)
        return programmed.commands.start(call)

    def read_registers(self, address: int, length: int) -> bytes:
        """Read the kernel's register file. Raises CardRule outside of it."""
        programmed, offset = self._locate(address, length)
        if offset == 0:
            programmed.registers[0] = self._control()
        return bytes(programmed.registers[offset : offset + length])

    def write_registers(self, address: int, data: Any) -> None:
        """Write the kernel's register file, and start it where AP_START is set. Raises CardRule."""
        data = bytes(data)
        with self._lock:
            programmed, offset = self._locate(address, len(data))
            is_start = offset == 0 and data[0] & _AP_START
            if is_start and not self._commands.idle:
                raise CardRule(f"{self.tag}: AP_START written while the kernel runs; wait for AP_IDLE first")
            programmed.registers[offset : offset + len(data)] = data
            if is_start:
                self._register_run = self._start(bytes(programmed.registers))

    def _locate(self, address: int, length: int) -> tuple[Programmed, int]:
        programmed = self.programmed()
        offset = address - programmed.kernel_address
        if not 0 <= offset <= len(programmed.registers) - length:
            raise CardRule(f"{self.tag}: no register at {address:#x}, the kernel is at {programmed.kernel_address:#x}")
        return programmed, offset

    def _control(self) -> int:
        run = self._register_run
        if run is None:
            return _AP_IDLE if self._commands.idle else _AP_START
        if not run.wait_done(_POLL_S):
            return _AP_START
        self._register_run = None  # AP_DONE is cleared by reading it
        return _AP_DONE | _AP_IDLE
