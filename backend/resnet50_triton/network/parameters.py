"""The parameters of the W1A2 network: their names and shapes, and reading them from net.npz.

The layout is that of a `resnet50_w1a2_v1.npz`: conv0 weights int8 and thresholds int32; per block packed binary
weights (uint8, bits little-endian along the input channels) and thresholds; the FC biases int32. FC weights are not
here: they are the caller's, and live in the card's PLRAM.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadNetwork
from ..tensors import CLASSES


@dataclass(frozen=True)
class Block:
    """One bottleneck block: channel counts, input size and the stride of its first 1x1."""

    name: str
    cin: int
    width: int
    cout: int
    size_in: int  # H and W of the block's input
    stride: int
    projection: bool  # first of its stage: the shortcut is a 1x1 convolution

    @property
    def size_out(self) -> int:
        return self.size_in // self.stride


@dataclass(frozen=True)
class Conv:
    """One binary convolution: `name` is also the prefix of its arrays."""

    name: str
    cin: int
    cout: int
    ksize: int
    stride: int
    levels: int  # thresholds a channel: 3 or 15


def _blocks() -> Iterator[Block]:
    cin, size = 64, 56
    for stage, (width, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=2):
        for index in range(count):
            stride = 2 if stage > 2 and index == 0 else 1
            yield Block(f"res{stage}{'abcdef'[index]}", cin, width, 4 * width, size, stride, index == 0)
            cin, size = 4 * width, size // stride


BLOCKS: tuple[Block, ...] = tuple(_blocks())


def convs(block: Block) -> tuple[Conv, ...]:
    """The binary convolutions of a block in the order conva, convb, convc and, where there is one, conv1."""
    b = block
    result = [
        Conv(f"{b.name}.conva", b.cin, b.width, 1, b.stride, 3),
        Conv(f"{b.name}.convb", b.width, b.width, 3, 1, 3),
        Conv(f"{b.name}.convc", b.width, b.cout, 1, 1, 15),
    ]
    if b.projection:
        result.append(Conv(f"{b.name}.conv1", b.cin, b.cout, 1, b.stride, 15))
    return tuple(result)


def _shapes() -> dict[str, tuple[tuple[int, ...], type[np.generic]]]:
    """Every array's shape and the type it must fit in."""
    shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
        "conv0.weights": ((64, 7, 7, 3), np.int8),
        "conv0.thresholds": ((64, 3), np.int32),
        "fc.bias": ((CLASSES,), np.int32),
    }
    for block in BLOCKS:
        shapes[f"{block.name}.in.thresholds"] = ((block.cin, 3), np.int32)
        for conv in convs(block):
            shapes[f"{conv.name}.weights"] = ((conv.cout, conv.ksize, conv.ksize, conv.cin // 8), np.uint8)
            shapes[f"{conv.name}.thresholds"] = ((conv.cout, conv.levels), np.int32)
    return shapes


SHAPES = _shapes()


@dataclass(frozen=True)
class Network:
    """A complete, checked set of parameters; `arrays` has exactly the names of `SHAPES`, C-contiguous."""

    arrays: Mapping[str, NDArray[Any]]

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]

    @staticmethod
    def check(arrays: Mapping[str, NDArray[Any]]) -> Network:
        """Check names, shapes and ranges.

        Raises:
            BadNetwork: naming the first array that is missing, unknown, misshapen or out of range.
        """
        checked: dict[str, NDArray[Any]] = {}
        for name, (shape, dtype) in SHAPES.items():
            if name not in arrays:
                raise BadNetwork(f"network parameters: array '{name}' is missing ({len(SHAPES)} arrays are needed)")
            array = np.asarray(arrays[name])
            if array.shape != shape:
                raise BadNetwork(f"network parameters: '{name}' has shape {array.shape}, expected {shape}")
            if array.dtype.kind not in "iu":
                raise BadNetwork(
                    f"network parameters: '{name}' is {array.dtype}, expected integers ({np.dtype(dtype)})"
                )
            limits = np.iinfo(dtype)  # type: ignore[type-var]
            if int(array.min()) < limits.min or int(array.max()) > limits.max:
                raise BadNetwork(f"network parameters: '{name}' has values outside {limits.min}..{limits.max}")
            checked[name] = np.ascontiguousarray(array, dtype=dtype)
        unknown = sorted(set(arrays) - set(SHAPES))
        if unknown:
            raise BadNetwork(f"network parameters: unknown array '{unknown[0]}' ({len(unknown)} unknown in all)")
        return Network(checked)

    @staticmethod
    def load(path: str | Path) -> Network:
        """Read and check a net.npz. Raises BadNetwork."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise BadNetwork(f"cannot read network parameters {path}: {error.strerror}") from error
        try:
            return Network.from_bytes(data)
        except BadNetwork as error:
            raise BadNetwork(f"{path}: {error}") from error

    @staticmethod
    def from_bytes(data: bytes) -> Network:
        """Read and check the bytes of a net.npz. Raises BadNetwork."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except Exception as error:  # damage shows as zlib.error, BadZipFile, TokenError and more, as it happens to fall
            raise BadNetwork(f"network parameters: not a readable .npz archive ({error})") from error
        return Network.check(arrays)

    def to_bytes(self) -> bytes:
        """The bytes of a compressed net.npz; equal parameters give equal bytes."""
        # Not np.savez: it leaves the members' time stamps to the NumPy version, and xclbins must be reproducible.
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in SHAPES:
                member = io.BytesIO()
                np.save(member, self.arrays[name], allow_pickle=False)
                info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, member.getvalue())
        return buffer.getvalue()
