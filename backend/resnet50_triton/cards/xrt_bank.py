"""A memory bank of an Alveo that is driven over `pyxrt`."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any

import numpy as np
from pynq.buffer import PynqBuffer

if TYPE_CHECKING:
    from .xrt_native import NativeXrtDevice


class NativeBank:
    """One memory bank, as PYNQ's XrtMemory: what `allocate(target=...)` takes."""

    def __init__(self, device: NativeXrtDevice, description: dict[str, Any]) -> None:
        self.device = device
        self.desc = description
        self.idx = description["idx"]
        self.base_address = description["base_address"]
        self.size = description["size"]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NativeBank) and (self.device, self.idx) == (other.device, other.idx)

    def __hash__(self) -> int:
        return hash((self.device, self.idx))

    @property
    def num_buffers(self) -> int:
        """Buffers of this process here."""
        return sum(entry.bank == self.idx for entry in self.device.buffers())

    @property
    def mem_used(self) -> int:
        """Bytes of this process's buffers here."""
        return sum(entry.host.nbytes for entry in self.device.buffers() if entry.bank == self.idx)

    def allocate(self, shape: Any, dtype: Any, cacheable: int = 0) -> Any:  # noqa: ARG002  PYNQ passes `cacheable`
        """Make a PynqBuffer in this bank. Raises RuntimeError where XRT refuses."""
        size_bytes = max(int(np.prod(shape)) * np.dtype(dtype).itemsize, 1)
        number, address = self.device.allocate_bo(size_bytes, self.desc)
        buffer = PynqBuffer(
            shape,
            dtype,
            bo=number,
            device=self.device,
            buffer=mmap.mmap(-1, size_bytes),
            device_address=address,
            coherent=False,
        )
        buffer.memory = self
        # With these PynqBuffer.freebuffer() calls our return_pointer() once, and never munmap and xclFreeBO.
        buffer.pointer = (number,)
        buffer.return_to = self.device
        buffer.freed = True
        return buffer
