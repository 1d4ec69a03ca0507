"""One call of the kernel, as its registers state it, checked against the memory before anything computes.

The kernel is `resnet50_1(in, out, weightsmem, numReps)`: 64-bit pointers and a uint32 in its register file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CardRule
from ..tensors import CLASSES, FEATURES, PIXELS_SHAPE, PIXELS_SIZE_BYTES, TOP
from ..xclbin.kernel_info import ARGUMENTS, KernelInfo
from .memory import DeviceMemory

# Width of the AXI ports in bytes (512, 32 and 512 bits): an address that is no multiple of it reads other data.
_PORT_BYTES = {"in": 64, "out": 4, "weightsmem": 64}
_WEIGHTS_BYTES = CLASSES * FEATURES
_OFFSETS = dict(ARGUMENTS)
_OUT = {"logits": (np.int32, CLASSES), "top5": (np.uint32, TOP)}


@dataclass(frozen=True)
class KernelCall:
    """The arrays are device memory itself.

    pixels: uint8 (N, 224, 224, 3) BGR, weights: int8 (1000, 2048), out: int32 (N, 1000) or uint32 (N, 5).
    """

    pixels: NDArray[np.uint8]
    out: NDArray[Any]
    weights: NDArray[np.int8]
    buffers: tuple[int, ...]  # the BOs that it reads and writes


class KernelPorts:
    """The kernel's arguments: which bank each pointer is wired to, and how much each reads or writes."""

    def __init__(self, card: str, xclbin: KernelInfo) -> None:
        self._card = card
        self._banks = {name: memory.name for name, memory in xclbin.banks.items()}
        self._out_type, self._out_count = _OUT[xclbin.kernel]

    def call(self, registers: bytes, memory: DeviceMemory) -> KernelCall:
        """Make the call that a register file states.

        Args:
            registers: the register file's first bytes, from address 0.

        Raises:
            CardRule: an address that is unaligned, in no buffer, in the wrong bank, or a buffer too small.
        """
        images = _value(registers, "numReps", 4)
        if images == 0:
            raise CardRule(f"{self._card}: numReps is 0; it is the number of images, at least 1")
        out_bytes = images * self._out_count * np.dtype(self._out_type).itemsize
        pixels, pixels_bo = self._buffer(registers, memory, "in", images * PIXELS_SIZE_BYTES, images)
        out, out_bo = self._buffer(registers, memory, "out", out_bytes, images)
        weights, weights_bo = self._buffer(registers, memory, "weightsmem", _WEIGHTS_BYTES, images)
        return KernelCall(
            pixels.reshape(images, *PIXELS_SHAPE),
            out.view(self._out_type).reshape(images, self._out_count),
            weights.view(np.int8).reshape(CLASSES, FEATURES),
            (pixels_bo, out_bo, weights_bo),
        )

    def _buffer(
        self, registers: bytes, memory: DeviceMemory, name: str, size_bytes: int, images: int
    ) -> tuple[NDArray[np.uint8], int]:
        address = _value(registers, name, 8)
        found = memory.find(address)
        offset = address - found.address if found else 0
        if found is None:
            wrong = " is in no buffer of this card (freed, another card's, or never allocated)"
        elif address % _PORT_BYTES[name]:
            wrong = f" is not aligned to the port's {_PORT_BYTES[name]} bytes"
        elif found.bank.name != self._banks[name]:
            wired = self._banks[name]
            wrong = f" is in {found.bank.name}, but the kernel's port is wired to {wired}; allocate it there"
        elif offset + size_bytes > found.size_bytes:
            wrong = (
                f": {images} images need {size_bytes} bytes, the buffer has {max(0, found.size_bytes - offset)} "
                "from there; run fewer images or allocate a larger buffer"
            )
        else:
            return found.data[offset : offset + size_bytes], found.bo
        raise CardRule(f"{self._card}: argument '{name}' at {address:#x}{wrong}")


def _value(registers: bytes, name: str, size: int) -> int:
    return int.from_bytes(registers[_OFFSETS[name] : _OFFSETS[name] + size], "little")
