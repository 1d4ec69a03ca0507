"""An Alveo under an XRT that PYNQ cannot drive any more: a PYNQ device over `pyxrt`, XRT's own Python module.

Above it, PYNQ's Overlay, allocate and start are the same as above PYNQ's XrtDevice. What differs below: a buffer's side
on the host is ours, and is copied to and from XRT's at each sync, so that it outlives a reset of the card; `pyxrt`
holds Python's lock during each of its calls; registers are those of the runs that are started through them, because
`pyxrt` reaches none of the kernel's.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pynq._3rdparty import xrt
from pynq.pl_server.device import Device
from pynq.pl_server.xclbin_parser import XclBin

from ..errors import CardError
from ..xclbin.kernel_info import ARGUMENTS, KernelInfo
from .commands import ExecBuffer
from .xrt_bank import NativeBank
from .xrt_sensors import power_rails
from .xrt_version import import_pyxrt

_POLL_S = 2e-4  # asking XRT for a run's state takes microseconds; waiting in `pyxrt` would hold Python's lock
# Of ert.h. As numbers: `pyxrt` has no name for 3, RUNNING.
_BUSY, _COMPLETED = (1, 2, 3, 7), 4
_AP_START, _AP_DONE, _AP_IDLE = 1, 2, 4
_POINTERS = tuple(name for name, _ in ARGUMENTS if name != "numReps")


class NativeRun:
    """One run, with the interface of PYNQ's ErtWaitHandle."""

    def __init__(self, device: NativeXrtDevice, number: int) -> None:
        self.device = device
        self._number = number
        self._seen_done = False
        self._bo = None  # what `waitfor=` would collect
        self._has_bo = False

    @property
    def done(self) -> bool:
        """Whether the kernel has finished. Raises CardError where the run failed."""
        return self.wait_done(0)

    def wait_done(self, timeout_s: float | None) -> bool:
        """Wait until the kernel has finished; False where the time ran out. Raises CardError where the run failed."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._seen_done:
            self._seen_done = self.device.finish(self._number)
            if not self._seen_done:
                if deadline_s is not None and time.monotonic() >= deadline_s:
                    return False
                time.sleep(_POLL_S)
        return True

    def wait(self) -> None:
        """Block until the kernel has finished. Raises CardError where it failed."""
        self.wait_done(None)

    async def wait_async(self) -> None:
        """Wait without blocking the event loop."""
        await asyncio.to_thread(self.wait)


class _Buffer:
    """A buffer of XRT's: host is its side in this process's memory, uint8 (size,)."""

    def __init__(self, bo: Any, bank: int) -> None:
        self.bo = bo
        self.bank = bank
        self.address = int(bo.address())
        self.host: NDArray[np.uint8] = np.frombuffer(bo.map(), np.uint8)


class NativeXrtDevice(Device):  # type: ignore[misc]  # pynq has no types
    """One Alveo; see the module. Safe to use from several threads."""

    @classmethod
    def probe(cls) -> list[NativeXrtDevice]:
        """Every card that XRT sees, not yet opened."""
        count = import_pyxrt().enumerate_devices()
        if not count and xrt.XRT_EMULATION:  # XRT 2.13 does not count the cards that it emulates
            count = xrt.xclProbe()
        return [cls(index) for index in range(count)]

    def __init__(self, index: int) -> None:
        super().__init__(f"xrt{index}")
        self.capabilities = {"REGISTER_RW": True, "CALLABLE": True, "ERT": True}
        self._index = index
        self._pyxrt = import_pyxrt()
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._registers = bytearray(4096)
        self._forget()
        self._device: Any = None
        self.name = "not opened"

    def _forget(self) -> None:
        self._uuid: Any = None
        self._kernels: dict[str, Any] = {}  # by CU; each holds a context of it
        self._buffers: dict[int, _Buffer] = {}
        self._runs: dict[int, Any] = {}  # not seen done
        self._idle_runs: list[Any] = []
        self._register_run: NativeRun | None = None

    def open(self) -> None:
        """Open the card; again is harmless. Raises RuntimeError where XRT refuses."""
        with self._lock:
            if self._device is None:
                self._device = self._pyxrt.device(self._index)
                self.name = str(self._device.get_info(self._pyxrt.xrt_info_device.name))

    def reopen(self) -> None:
        """Close the card and open it again, without all that this process had on it.

        `pyxrt` has no call that ends a run, and XRT crashes where what an unfinished one uses has gone.

        Raises:
            CardError: a run has not ended; once it has, as after a reset by XRT's own tool, the card can be had again.
            RuntimeError: XRT refuses.
        """
        with self._lock:
            if any(_state(run) in _BUSY for run in self._runs.values()):
                raise CardError(
                    f"{self.tag}: a run has not ended, which XRT's pyxrt cannot end; where it stays so, "
                    "'xbutil reset --device BDF' does"
                )
            self._forget()
            self._device = None
            self.open()

    # Programming

    def expect(self, xclbin: KernelInfo) -> None:
        """Compare this card with what an xclbin needs. Raises BadXclbin."""
        from .xrt import check_xclbin

        check_xclbin(self, xclbin)

    def get_bitfile_metadata(self, bitfile_name: str) -> Any:
        """PYNQ's parsed xclbin."""
        return XclBin(bitfile_name)

    def gen_cache(self, bitstream: Any, parser: Any = None) -> None:
        """Nothing: an xclbin needs no cache, as on XrtDevice."""

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Program the card. Raises RuntimeError where XRT refuses."""
        with self._lock:
            self.free_bitstream()
            self._uuid = self._device.load_xclbin(str(bitstream.bitfile_name))
            self.post_download(bitstream, parser or self.get_bitfile_metadata(bitstream.bitfile_name))

    def free_bitstream(self) -> None:
        """Close all contexts."""
        with self._lock:
            self._idle_runs.clear()
            self._kernels.clear()

    def close(self) -> None:
        """Nothing to close: the card lives as long as the process."""

    def open_context(self, description: dict[str, Any], shared: bool = True) -> int:
        """Claim the kernel, before it can be started. Raises RuntimeError where XRT refuses."""
        name, _, instance = description["cu_name"].partition(":")
        mode = self._pyxrt.kernel.cu_access_mode
        with self._lock:
            if self._uuid is None:
                raise CardError(f"{self.tag}: used before it was programmed; make an Overlay with download=True first")
            if name not in self._kernels:
                cu = f"{name}:{{{instance}}}"
                self._kernels[name] = self._pyxrt.kernel(
                    self._device, self._uuid, cu, mode.shared if shared else mode.exclusive
                )
        return int(description.get("cu_index", 0))

    def close_context(self, cu_name: str) -> None:
        """Give the kernel back."""
        with self._lock:
            self._idle_runs.clear()
            del self._kernels[cu_name.partition(":")[0]]

    # Memory

    def get_memory(self, description: dict[str, Any]) -> NativeBank:
        """The bank that a `mem_dict` entry describes."""
        return NativeBank(self, description)

    def get_memory_by_name(self, name: str) -> NativeBank:
        """The bank with this tag, as "PLRAM[0]"."""
        return next(NativeBank(self, m) for m in self.mem_dict.values() if m["tag"] == name)

    def get_memory_by_idx(self, idx: int) -> NativeBank:
        """The bank with this index in the xclbin."""
        return next(NativeBank(self, m) for m in self.mem_dict.values() if m["idx"] == idx)

    @property
    def default_memory(self) -> NativeBank:
        """The only bank in use. Raises CardError where there are several."""
        used = [m for m in self.mem_dict.values() if m["used"] and not m["streaming"]]
        if len(used) != 1:
            names = ", ".join(m["tag"] for m in used)
            raise CardError(f"{self.tag}: several memories are in use ({names}); name one: allocate(..., target=...)")
        return NativeBank(self, used[0])

    def allocate_bo(self, size_bytes: int, bank: dict[str, Any]) -> tuple[int, int]:
        """A buffer's number, and its address on the card."""
        with self._lock:
            flags, number = self._pyxrt.bo.flags.normal, next(self._numbers)
            buffer = _Buffer(self._pyxrt.bo(self._device, size_bytes, flags, self._group(bank)), bank["idx"])
            self._buffers[number] = buffer
            return number, buffer.address

    def _group(self, bank: dict[str, Any]) -> int:
        """XRT's word for a bank: what it says of an argument that is wired to it; where none is, the bank's index."""
        for name, kernel in self._kernels.items():
            for ip in self.ip_dict.values():
                if ip["cu_name"].startswith(f"{name}:"):
                    for register in ip["registers"].values():
                        if register.get("memory") == bank["tag"]:
                            return int(kernel.group_id(register["id"]))
        return int(bank["idx"])

    def buffers(self) -> list[_Buffer]:
        """What is allocated now."""
        with self._lock:
            return list(self._buffers.values())

    def return_pointer(self, pointer: tuple[int]) -> None:
        """Free a buffer's device memory; PynqBuffer.freebuffer() calls it. One of before a reset has gone already."""
        with self._lock:
            self._buffers.pop(pointer[0], None)

    def flush(self, bo: int, offset: int, ptr: int, size: int) -> None:
        """Copy a buffer, or a part of it, to the card. Raises CardError, RuntimeError."""
        buffer = self._buffer(bo)
        np.copyto(buffer.host[offset : offset + size], _memory(ptr, size))
        buffer.bo.sync(self._pyxrt.xclBOSyncDirection.XCL_BO_SYNC_BO_TO_DEVICE, size, offset)

    def invalidate(self, bo: int, offset: int, ptr: int, size: int) -> None:
        """Copy a buffer, or a part of it, from the card. Raises CardError, RuntimeError."""
        buffer = self._buffer(bo)
        buffer.bo.sync(self._pyxrt.xclBOSyncDirection.XCL_BO_SYNC_BO_FROM_DEVICE, size, offset)
        np.copyto(_memory(ptr, size), buffer.host[offset : offset + size])

    def _buffer(self, number: int) -> _Buffer:
        with self._lock:
            try:
                return self._buffers[number]
            except KeyError:
                raise CardError(f"{self.tag}: the buffer was freed, or the card was reset since") from None

    # Runs, through the scheduler or through registers

    def get_exec_bo(self, size: int = 1024) -> ExecBuffer:
        """An empty command packet."""
        return ExecBuffer(size)

    def execute_bo(self, bo: ExecBuffer) -> NativeRun:
        """Queue the run that a packet states. Raises CardError, RuntimeError."""
        return self._start(bo.registers())

    def execute_bo_with_waitlist(self, *_: Any) -> NativeRun:
        """Refuse, as XRT has done since 2.11."""
        raise CardError(f"{self.tag}: waitfor= is not supported by XRT any more; runs are in the order of the calls")

    def set_event_loop(self, loop: Any) -> None:
        """Nothing: `wait_async` needs no registration here."""

    def _start(self, registers: bytes) -> NativeRun:
        with self._lock:
            if not self._kernels:
                raise CardError(
                    f"{self.tag}: started without a context; the overlay is no longer loaded, make a new one"
                )
            (kernel,) = self._kernels.values()
            run = self._idle_runs.pop() if self._idle_runs else self._pyxrt.run(kernel)
            for index, (name, offset) in enumerate(ARGUMENTS):
                if name in _POINTERS:
                    run.set_arg(index, self._find(int.from_bytes(registers[offset : offset + 8], "little"), name))
                else:
                    run.set_arg(index, int.from_bytes(registers[offset : offset + 4], "little"))
            run.start()
            number = next(self._numbers)
            self._runs[number] = run
            return NativeRun(self, number)

    def _find(self, address: int, name: str) -> Any:
        """The buffer at an address, or the part of one that begins there."""
        for buffer in self._buffers.values():
            offset = address - buffer.address
            if 0 <= offset < buffer.host.nbytes:
                return self._pyxrt.bo(buffer.bo, buffer.host.nbytes - offset, offset) if offset else buffer.bo
        raise CardError(f"{self.tag}: argument '{name}' at {address:#x} is in no buffer of this card")

    def finish(self, number: int) -> bool:
        """Whether a run has finished; one that is seen done is kept for the next start. Raises CardError."""
        with self._lock:
            run = self._runs.get(number)
            if run is None:
                raise CardError(f"{self.tag}: the card was reset before this run had finished")
            if _state(run) in _BUSY:
                return False
            del self._runs[number]
            if _state(run) != _COMPLETED:
                raise CardError(f"{self.tag}: XRT reports {run.state()}")
            if self._kernels:
                self._idle_runs.append(run)
            return True

    def read_registers(self, address: int, length: int) -> bytes:
        """What was written; the control register tells the state of the run that was started through it."""
        offset = address - self._base(address)
        if offset == 0:
            run = self._register_run
            self._registers[0] = _AP_IDLE | _AP_DONE if run is None or run.wait_done(_POLL_S) else _AP_START
        return bytes(self._registers[offset : offset + length])

    def write_registers(self, address: int, data: Any) -> None:
        """Note it, and start a run where AP_START is set. Raises CardError, RuntimeError."""
        data = bytes(data)
        offset = address - self._base(address)
        self._registers[offset : offset + len(data)] = data
        if offset == 0 and data[0] & _AP_START:
            self._register_run = self._start(bytes(self._registers))

    def _base(self, address: int) -> int:
        for ip in self.ip_dict.values():
            if ip["phys_addr"] <= address < ip["phys_addr"] + len(self._registers):
                return int(ip["phys_addr"])
        raise CardError(f"{self.tag}: no kernel has a register at {address:#x}")

    # Sensors

    @property
    def device_info(self) -> SimpleNamespace:
        """The fields of XRT's xclDeviceInfo2 that `pynq.pmbus` reads, in mV and mA; 0 where XRT reports nothing."""
        return power_rails(self._device.get_info(self._pyxrt.xrt_info_device.electrical))

    @property
    def sensors(self) -> Any:
        """The power rails, as on XrtDevice."""
        from pynq.pmbus import get_xrt_sysfs_rails

        return get_xrt_sysfs_rails(self)


def _memory(address: int, size: int) -> NDArray[np.uint8]:
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


def _state(run: Any) -> int:
    state = run.state()
    return int(getattr(state, "value", state))
