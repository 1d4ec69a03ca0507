"""The device process of the test bench: takes the place of the Vitis simulator behind XRT's hw_emu driver.

    python model.py SOCKETS ID XCLBIN NETWORK

XRT listens on SOCKETS/ID from each programming to the next, and this process connects, keeps the card's memory and the
kernel's registers, and computes with the network in NETWORK (an .npz) as the kernel of XCLBIN would. The same rules are
enforced as on the software card (`cards.call`): a run that breaks one is reported, and answered as done, because
the registers know no error.

The file SOCKETS/fault makes it misbehave from the next start on; see `FAULTS`. What goes wrong by itself is appended to
SOCKETS/errors, which the bench looks at.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
from protocol import Call, Message, answer, close_message, encode, receive
from resnet50_triton.cards.call import KernelCall, KernelPorts
from resnet50_triton.cards.memory import Allocation
from resnet50_triton.network.engine import open_engine
from resnet50_triton.network.parameters import Network
from resnet50_triton.ranking import top5
from resnet50_triton.xclbin.container import Memory
from resnet50_triton.xclbin.kernel_info import KernelInfo, read_xclbin
from resnet50_triton.xclbin.u250 import KERNEL_ADDRESS

FAULTS = {
    "slow": "each start lasts so many seconds longer: 'slow 2.5'",
    "hold": "no start ends before the fault has gone",
    "hang": "no start ends any more",
    "wrong": "the results are in the wrong order",
    "noise": "what this process answers while a run is on is no message of the protocol",
}

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_AP_START, _AP_DONE, _AP_IDLE, _AP_READY = 1, 2, 4, 8
_POLL_S = 1e-3  # XRT asks for the state without a pause: an answer about a running kernel waits so long
_RETRY_S = 1e-2
_D2X_S = 5.0  # XRT's thread for the second socket listens for so long at a time


class DeviceMemory:
    """What XRT has allocated, by device address."""

    def __init__(self, info: KernelInfo) -> None:
        self._banks = info.memories
        self._allocations: dict[int, Allocation] = {}

    def allocate(self, address: int, size_bytes: int) -> None:
        bank = self._bank(address, size_bytes)
        self._allocations[address] = Allocation(0, bank, address, size_bytes, np.zeros(size_bytes, np.uint8))

    def free(self, address: int) -> None:
        self._allocations.pop(address, None)

    def find(self, address: int) -> Allocation | None:
        """The allocation that holds `address`, if any."""
        return next((a for a in self._allocations.values() if a.address <= address < a.end), None)

    def view(self, address: int, size_bytes: int) -> memoryview:
        """A range within one allocation."""
        found = self.find(address)
        if found is None or address + size_bytes > found.end:
            raise IndexError(f"{size_bytes} bytes at {address:#x} are not in one buffer")
        return found.data.data[address - found.address :][:size_bytes]

    def _bank(self, address: int, size_bytes: int) -> Memory:
        for bank in self._banks:
            if bank.base_address <= address and address + size_bytes <= bank.base_address + bank.size_bytes:
                return bank
        raise IndexError(f"{size_bytes} bytes at {address:#x} are in no memory of the xclbin")


class Kernel:
    """The kernel's register file, protocol ap_ctrl_hs, and what computes behind it."""

    def __init__(self, start: Callable[[bytes], None]) -> None:
        self._start = start
        self._registers = bytearray(4096)
        self._control = _AP_IDLE
        self._changed = threading.Condition()

    @property
    def running(self) -> bool:
        return self._control == _AP_START

    def write(self, offset: int, data: bytes) -> None:
        self._registers[offset : offset + len(data)] = data
        if offset == 0 and data[0] & _AP_START:
            self._control = _AP_START
            threading.Thread(target=self._run, args=(bytes(self._registers),), daemon=True).start()

    def read(self, offset: int, size: int) -> bytes:
        if offset == 0:
            with self._changed:
                self._changed.wait_for(lambda: not self.running, _POLL_S)
                struct.pack_into("<I", self._registers, 0, self._control)
                self._control &= ~_AP_DONE  # reading clears it
        return bytes(self._registers[offset : offset + size])

    def _run(self, registers: bytes) -> None:
        self._start(registers)
        self.end()

    def end(self) -> None:
        """End the run; also when the device is closed: XRT's thread that polls it aborts if it still does so then."""
        with self._changed:
            self._control = _AP_DONE | _AP_IDLE | _AP_READY
            self._changed.notify_all()


class Device:
    """One card, from one programming to the next."""

    def __init__(self, info: KernelInfo, compute: Callable[[KernelCall], None], directory: Path) -> None:
        self._memory = DeviceMemory(info)
        self._ports = KernelPorts("the model process", info)
        self._compute = compute
        self._directory = directory
        self._kernel = Kernel(self._execute)
        self.closed = threading.Event()

    def serve(self, connection: socket.socket, second: socket.socket) -> None:
        """Answer XRT's calls until it lets go of the connection: its other threads make some after it has closed the
        device, on a busy machine long after, and end its process where nobody answers.

        The second connection is for accesses from the device to the host's memory, of which there are none: XRT's
        thread for it ends on our word.
        """
        try:
            with contextlib.suppress(EOFError, ConnectionError), connection, second:
                while True:
                    self._serve_one(connection, second)
        finally:
            self.closed.set()

    def _serve_one(self, connection: socket.socket, second: socket.socket) -> None:
        message = receive(connection)
        try:
            body = self._answer(message)
        except (LookupError, TypeError, ValueError):
            self._report(traceback.format_exc())
            body = encode(0)
        if self._kernel.running and self._fault()[0] == "noise":
            connection.sendall(b"\xff" * 4096)
        else:
            answer(connection, body)
        if message.call == Call.CLOSE:
            self._kernel.end()
            second.sendall(close_message())
            self.closed.set()

    def _answer(self, message: Message) -> bytes:
        number, data = message.number, message.data
        match message.call:
            case Call.ALLOCATE:
                self._memory.allocate(number(1), number(2))
            case Call.FREE:
                self._memory.free(number(1))
            case Call.COPY_TO_DEVICE:
                self._memory.view(number(3) + number(6), number(5))[:] = data(4)
                return encode(number(5))
            case Call.COPY_FROM_DEVICE:
                found = self._memory.view(number(4) + number(6), number(5))
                return encode(len(found), found)
            case Call.WRITE_REGISTERS:
                self._kernel.write(number(2) - KERNEL_ADDRESS, bytes(data(4)))
            case Call.READ_REGISTERS:
                return encode(1, self._kernel.read(number(2) - KERNEL_ADDRESS, number(3)))
            case Call.DEBUG_MESSAGES:
                return encode(b"")
            case Call.CLOSE | Call.SET_ENVIRONMENT:
                pass
            case unknown:
                raise LookupError(f"XRT made call {unknown}, which this process does not know")
        return encode(1)

    def _execute(self, registers: bytes) -> None:
        fault, seconds = self._fault()
        while fault == "hang":
            time.sleep(1)
        while fault == "hold" and self._fault()[0] == "hold":
            time.sleep(_RETRY_S)
        time.sleep(seconds)
        try:
            call = self._ports.call(registers, self._memory)  # type: ignore[arg-type]  # needs find() only
            self._compute(call)
            if fault == "wrong":
                call.out[:] = call.out[:, ::-1].copy()
        except Exception:  # the registers cannot say so: leave evidence
            self._report(traceback.format_exc())

    def _fault(self) -> tuple[str, float]:
        try:
            name, _, seconds = (self._directory / "fault").read_text().partition(" ")
        except FileNotFoundError:
            return "", 0.0
        if name not in FAULTS:
            self._report(f"no such fault: {name}\n")
        return name, float(seconds or 0)

    def _report(self, text: str) -> None:
        with (self._directory / "errors").open("a") as file:
            file.write(text)


def connect(path: Path, timeout_s: float = float("inf")) -> socket.socket:
    """Connect to a socket as soon as something listens there. Raises TimeoutError."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"nothing listens on {path}") from None
            time.sleep(_RETRY_S)
        else:
            return connection


def main() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # do not outlive the bench, however it ends
    directory, socket_id, xclbin, network = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
    second_path = directory / f"D2X_unix_sock_{socket_id}"
    info = read_xclbin(xclbin)
    engine = open_engine(Network.load(network), threads=1)

    def compute(call: KernelCall) -> None:
        if info.kernel == "top5":
            call.out[:] = top5(engine.logits(call.pixels, call.weights))
        else:
            engine.logits(call.pixels, call.weights, call.out)

    while True:
        connection = connect(directory / socket_id)
        try:
            second = connect(second_path, _D2X_S)
        except TimeoutError:
            connection.close()
            continue
        device = Device(info, compute, directory)
        threading.Thread(target=device.serve, args=(connection, second), daemon=True).start()
        device.closed.wait()


if __name__ == "__main__":
    main()
