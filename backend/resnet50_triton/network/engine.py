"""The engines that compute the network on a CPU behind one interface; the fastest installed one is the default."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import BadParameter, BadPixels, BadWeights
from ..tensors import CLASSES, FEATURES, PIXELS_SHAPE
from . import reference
from .parameters import BLOCKS, Network, convs
from .reference import ReferenceEngine

ENVIRONMENT = "RESNET50_ENGINE"  # forces an engine, so that each can be tested on one machine
HOW_TO_BUILD = "install a C++17 compiler (apt-get install g++) and run pip install --force-reinstall --no-deps backend/"


class Engine(Protocol):
    """A network loaded for computing; safe to call from one thread at a time."""

    name: str  # for logs and reports: "native (avx512), 2 threads"

    def stages(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        """Every stage's output by name ("stem", "res2a", ...): uint8 (N, H, W, C)."""
        ...

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """pixels: uint8 (N, 224, 224, 3) BGR -> the head's input, uint16 (N, 2048)."""
        ...

    def logits(
        self, pixels: NDArray[np.uint8], weights: NDArray[np.int8], out: NDArray[np.int32] | None = None
    ) -> NDArray[np.int32]:
        """Compute the accumulators of all classes.

        Args:
            pixels: uint8 (N, 224, 224, 3), BGR.
            weights: int8 (1000, 2048).
            out: int32 (N, 1000) to write into; without it an array is allocated.

        Returns:
            int32 (N, 1000); `out` itself where it is given.

        Raises:
            BadPixels: for another shape or type of `pixels`.
            BadWeights: for another shape or type of `weights`.
        """
        ...


def _load_native() -> ModuleType | None:
    """The compiled module, or None where the package was installed without a compiler."""
    try:
        return importlib.import_module("._native", __package__)
    except ModuleNotFoundError:
        return None


_native = _load_native()


def end_with_parent() -> None:
    """End this process some seconds after its parent, whatever its threads wait for. Only where native code is."""
    if _native is not None:
        _native.end_with_parent()


def engines() -> tuple[str, ...]:
    """The names that `RESNET50_ENGINE` may have on this CPU, fastest first."""
    return (*(_native.kernels() if _native else ()), "reference")


def choose(name: str | None = None) -> str:
    """Settle which engine to use.

    Args:
        name: one of `engines()`; None takes the environment variable RESNET50_ENGINE, or else the fastest.

    Returns:
        One of `engines()`.

    Raises:
        BadParameter: for an engine that this CPU or this installation does not have.
    """
    asked = name or os.environ.get(ENVIRONMENT) or engines()[0]
    if asked not in engines():
        built = "" if _native else f"; the native engine was not built: {HOW_TO_BUILD}"
        raise BadParameter(f"engine '{asked}' is not available here (choose from {', '.join(engines())}){built}")
    return asked


def usable_cpus() -> int:
    """CPUs that this process may keep busy: its affinity, and the quota of its control group."""
    cpus = len(os.sched_getaffinity(0))
    try:  # a container's limit; spinning threads beyond it would be stopped in the middle of a step
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cpus, int(quota) // int(period)))
    except (OSError, ValueError):  # no control groups v2, or "max"
        return cpus


def open_engine(network: Network, threads: int = 0, name: str | None = None) -> Engine:
    """Load `network` into an engine.

    Args:
        network: checked parameters; packed here, once.
        threads: 0 means one per CPU that this process may use. The reference leaves threads to NumPy.
        name: one of `engines()`; None takes the environment variable RESNET50_ENGINE, or else the fastest.

    Raises:
        BadParameter: for a negative or absurd number of threads, or an engine that is not available here.
    """
    if not 0 <= threads <= 1024:
        raise BadParameter(f"threads must be 0 (one per CPU) to 1024, found {threads}")
    chosen = choose(name)
    if _native is None or chosen == "reference":
        return ReferenceEngine(network)
    return NativeEngine(_native, network, chosen, threads or usable_cpus())


def advice() -> str | None:
    """Advice for a user whose installation has the slow reference only; None where the native engine is there."""
    return None if _native else f"the native engine was not built, so images take seconds each; {HOW_TO_BUILD}"


class NativeEngine:
    """The C++ engine, with the interface `Engine`."""

    def __init__(self, native: Any, network: Network, kernels: str, threads: int) -> None:
        packed = native.Network(kernels, network["conv0.weights"], network["conv0.thresholds"], network["fc.bias"])
        for block in BLOCKS:
            parameters = [(network[f"{c.name}.weights"], network[f"{c.name}.thresholds"]) for c in convs(block)]
            packed.add_block(block.size_in, block.stride, network[f"{block.name}.in.thresholds"], parameters)
        self._native = native
        self._engine = native.Engine(packed, threads)
        self.name = f"native ({kernels}), {threads} thread{'s' if threads > 1 else ''}"

    def stages(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        """Every stage's output, by name."""
        pixels = _check_pixels(pixels)
        outputs = {"stem": np.empty((len(pixels), 56, 56, 64), np.uint8)}
        for block in BLOCKS:
            outputs[block.name] = np.empty((len(pixels), block.size_out, block.size_out, block.cout), np.uint8)
        self._engine.stages(pixels, list(outputs.values()))
        return outputs

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """pixels: uint8 (N, 224, 224, 3) BGR -> uint16 (N, 2048)."""
        pixels = _check_pixels(pixels)
        out = np.empty((len(pixels), FEATURES), np.uint16)
        self._engine.features(pixels, out)
        return out

    def logits(
        self, pixels: NDArray[np.uint8], weights: NDArray[np.int8], out: NDArray[np.int32] | None = None
    ) -> NDArray[np.int32]:
        """pixels: uint8 (N, 224, 224, 3) BGR, weights: int8 (1000, 2048) -> int32 (N, 1000)."""
        pixels = _check_pixels(pixels)
        if weights.shape != (CLASSES, FEATURES) or weights.dtype != np.int8:
            raise BadWeights(f"FC weights: found {weights.dtype} {weights.shape}, expected int8 {(CLASSES, FEATURES)}")
        if out is None:
            out = np.empty((len(pixels), CLASSES), np.int32)
        self._engine.logits(pixels, np.ascontiguousarray(weights), out)
        return out

    def runs(self) -> Any:
        """A thread of its own for runs of `logits`, one after the other; see native/runs.h."""
        return self._native.Runs(self._engine)

    def plan(self) -> list[tuple[int, float]]:
        """How all threads share one image: of each part between two meetings the items and their multiply-adds."""
        return list(self._engine.plan())

    def profile(self, pixels: NDArray[np.uint8], weights: NDArray[np.int8]) -> dict[str, float]:
        """Seconds in each step, summed over images computed one at a time; arguments as for `logits`."""
        names = ["padding", "stem"]
        for block in BLOCKS:
            conva, convb, convc, *conv1 = (conv.name for conv in convs(block))
            names += [conva, convb, *conv1, convc]  # the shortcut is computed before it is added
        seconds = self._engine.profile(_check_pixels(pixels), weights)
        return dict(zip([*names, "features", "fc"], seconds, strict=True))


def convolve(
    x: NDArray[np.uint8], packed_weights: NDArray[np.uint8], ksize: int, stride: int, name: str | None = None
) -> NDArray[np.int32]:
    """The sums of one binary convolution, before its thresholds.

    Args:
        x: uint8 (N, H, W, cin) of 0..3; cin and cout are multiples of 64.
        packed_weights: uint8 (cout, ksize, ksize, cin / 8), bits little-endian along cin, 1 for +1 and 0 for -1.
        ksize: 1, or 3 with a padding of 1.
        stride: 1, or 2 where ksize is 1.
        name: one of `engines()`; None chooses as `open_engine` does.

    Returns:
        int32 (N, H', W', cout), H' = (H - 1) // stride + 1.
    """
    if packed_weights.shape[1:] != (ksize, ksize, x.shape[3] // 8):
        raise ValueError(f"weights {packed_weights.shape} do not fit ksize {ksize} and {x.shape[3]} channels")
    if stride > 1 and ksize > 1:
        raise ValueError(f"a {ksize}x{ksize} with stride {stride} does not occur in this network")
    chosen = choose(name)
    if _native is None or chosen == "reference":
        bits = np.unpackbits(packed_weights, axis=-1, bitorder="little").astype(np.int8)
        pad = (ksize // 2, ksize // 2)
        return reference.convolve(x, (bits * 2 - 1).astype(np.int8), stride, pad)
    height, width = ((size - 1) // stride + 1 for size in x.shape[1:3])
    out = np.empty((len(x), height, width, len(packed_weights)), np.int32)
    _native.convolve(chosen, np.ascontiguousarray(x), np.ascontiguousarray(packed_weights), stride, usable_cpus(), out)
    return out


def convolve_pixels(pixels: NDArray[np.uint8], weights: NDArray[np.int8], name: str | None = None) -> NDArray[np.int32]:
    """conv0's sums: uint8 (N, 224, 224, 3) BGR, int8 (64, 7, 7, 3) -> int32 (N, 112, 112, 64)."""
    pixels = _check_pixels(pixels)
    chosen = choose(name)
    if _native is None or chosen == "reference":
        return reference.convolve(pixels, weights, 2, (3, 2))
    out = np.empty((len(pixels), 112, 112, 64), np.int32)
    _native.convolve_pixels(chosen, pixels, np.ascontiguousarray(weights), usable_cpus(), out)
    return out


def _check_pixels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.ndim != 4 or pixels.shape[1:] != PIXELS_SHAPE or pixels.dtype != np.uint8:
        raise BadPixels(f"pixels: found {pixels.dtype} {pixels.shape}, expected uint8 {('N', *PIXELS_SHAPE)}")
    return np.ascontiguousarray(pixels)
