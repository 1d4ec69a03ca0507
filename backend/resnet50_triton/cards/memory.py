"""An emulated card's memory: banks, and the buffers allocated in them. Knows nothing of PYNQ."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CardRule
from ..xclbin.container import Memory

PAGE_BYTES = 4096  # XRT allocates whole pages
CARD_STRIDE_BYTES = 1 << 30

_bo_numbers = itertools.count(1)  # of all cards, so that a number from before a reset means nothing after it


@dataclass(frozen=True)
class Allocation:
    """One buffer object in device memory; `data` is whole pages, of which the caller asked for `size_bytes`."""

    bo: int
    bank: Memory
    address: int
    size_bytes: int
    data: NDArray[np.uint8]

    @cached_property
    def pointer(self) -> int:
        """To `data`, in this process."""
        return self.data.ctypes.data

    @property
    def end(self) -> int:
        """The address after its last page."""
        return self.address + len(self.data)


class DeviceMemory:
    """What is allocated in the banks of one card, by buffer object (BO) number and by device address.

    A freed address is given out again as late as possible, and each card starts at addresses of its own in large
    banks, so that a stale or foreign address most likely belongs to no buffer and is noticed.
    """

    def __init__(self, card: str, card_index: int, banks: Iterable[Memory]) -> None:
        self._card = card
        self.banks = {bank.name: bank for bank in banks}
        self._cursor = {
            bank.name: bank.base_address + card_index * CARD_STRIDE_BYTES % max(bank.size_bytes, 1)  # unused: 0
            for bank in self.banks.values()
        }
        self._allocations: dict[int, Allocation] = {}
        self.calls: dict[bytes, Any] = {}  # the kernel's, by its registers; of the buffers that there are now
        self._lock = threading.Lock()

    def allocate(self, bank: Memory, size_bytes: int) -> Allocation:
        """Reserve `size_bytes` in `bank`, page aligned.

        Raises:
            CardRule: the bank has no such free range.
        """
        reserved = -(-max(size_bytes, 1) // PAGE_BYTES) * PAGE_BYTES
        with self._lock:
            address = self._place(bank, reserved)
            data = np.frombuffer(mmap.mmap(-1, reserved), np.uint8)  # pages come when touched
            allocation = Allocation(next(_bo_numbers), bank, address, size_bytes, data)
            self._allocations[allocation.bo] = allocation
            self.calls.clear()
            self._cursor[bank.name] = allocation.end
        return allocation

    def free(self, bo: int) -> None:
        """Release a buffer object. Raises CardRule where it is not allocated."""
        self.get(bo)
        with self._lock:
            del self._allocations[bo]
            self.calls.clear()

    def get(self, bo: int) -> Allocation:
        """The allocation behind a buffer object. Raises CardRule where it is not allocated."""
        allocation = self._allocations.get(bo)
        if allocation is None:
            raise CardRule(f"{self._card}: buffer {bo} was freed; allocate a new one and do not keep views of the old")
        return allocation

    def find(self, address: int) -> Allocation | None:
        """The allocation that holds `address`, if any."""
        with self._lock:
            for allocation in self._allocations.values():
                if 0 <= address - allocation.address < len(allocation.data):
                    return allocation
        return None

    def copy_in(self, bo: int, offset: int, host_pointer: int, size_bytes: int) -> None:
        """Copy from the host to the device, the GIL released. Raises CardRule."""
        ctypes.memmove(self._pointer(bo, offset, size_bytes), host_pointer, size_bytes)

    def copy_out(self, bo: int, offset: int, host_pointer: int, size_bytes: int) -> None:
        """Copy from the device to the host, the GIL released. Raises CardRule."""
        ctypes.memmove(host_pointer, self._pointer(bo, offset, size_bytes), size_bytes)

    def count(self, bank: Memory | None = None) -> int:
        """The number of buffers, in one bank or in all."""
        with self._lock:
            return sum(bank is None or a.bank == bank for a in self._allocations.values())

    def used_bytes(self, bank: Memory) -> int:
        """The bytes reserved in a bank."""
        with self._lock:
            return sum(len(a.data) for a in self._allocations.values() if a.bank == bank)

    def _pointer(self, bo: int, offset: int, size_bytes: int) -> int:
        allocation = self.get(bo)
        if offset < 0 or offset + size_bytes > allocation.size_bytes:
            raise CardRule(
                f"{self._card}: sync of bytes {offset}..{offset + size_bytes} of buffer {bo}, "
                f"which has {allocation.size_bytes}"
            )
        return allocation.pointer + offset

    def _place(self, bank: Memory, size: int) -> int:
        taken = sorted((a.address, a.end) for a in self._allocations.values() if a.bank == bank)
        for address in (self._cursor[bank.name], bank.base_address):
            for begin, end in taken:
                if address + size <= begin:
                    break
                address = max(address, end)
            if address + size <= bank.base_address + bank.size_bytes:
                return address
        used = sum(end - begin for begin, end in taken)
        raise CardRule(
            f"{self._card}: out of memory in {bank.name}: asked for {size} bytes, {bank.size_bytes - used} of "
            f"{bank.size_bytes} are free (in {len(taken)} buffers: {used}); free buffers or use smaller ones"
        )
