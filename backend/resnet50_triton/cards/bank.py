"""The memory banks of an emulated card as PYNQ sees them, and the buffers that it allocates there."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any

import numpy as np
from pynq.buffer import PynqBuffer

from ..xclbin.container import Memory
from .memory import DeviceMemory

if TYPE_CHECKING:
    from .emulated import EmulatedCard


class EmulatedBank:
    """One memory bank, as PYNQ's XrtMemory: what `allocate(target=...)` takes."""

    def __init__(self, device: EmulatedCard, description: dict[str, Any]) -> None:
        self.device = device
        self.desc = description
        self.idx = description["idx"]
        self.base_address = description["base_address"]
        self.size = description["size"]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EmulatedBank) and (self.device, self.idx) == (other.device, other.idx)

    def __hash__(self) -> int:
        return hash((self.device, self.idx))

    @property
    def _memory(self) -> tuple[DeviceMemory, Memory]:
        memory = self.device.programmed().memory
        return memory, memory.banks[self.desc["tag"]]

    @property
    def mem_used(self) -> int:
        """Bytes in use."""
        memory, bank = self._memory
        return memory.used_bytes(bank)

    @property
    def num_buffers(self) -> int:
        """Buffers in use."""
        memory, bank = self._memory
        return memory.count(bank)

    def allocate(self, shape: Any, dtype: Any, cacheable: int = 0) -> Any:  # noqa: ARG002  PYNQ passes `cacheable`
        """Make a PynqBuffer in this bank. Raises CardRule where it does not fit."""
        size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory, bank = self._memory
        allocation = memory.allocate(bank, size_bytes)
        buffer = PynqBuffer(
            shape,
            dtype,
            bo=allocation.bo,
            device=self.device,
            buffer=mmap.mmap(-1, max(size_bytes, 1)),  # the host's side; the card's memory is apart from it
            device_address=allocation.address,
            coherent=False,
        )
        buffer.memory = self
        # With these PynqBuffer.freebuffer() calls our return_pointer() once, and never munmap and xclFreeBO.
        buffer.pointer = (memory, allocation.bo)
        buffer.return_to = self.device
        buffer.freed = True
        return buffer
