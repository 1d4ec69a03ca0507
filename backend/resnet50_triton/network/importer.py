"""Imports the trained parameters from a checkout of Xilinx/ResNet50-PYNQ.

They are C++ headers under src/w1a2_v1.0, a folder a layer, laid out for the accelerator: PE processing elements work on
as many output channels at once, each taking SIMD input channels a cycle. A layer of C output channels takes
NF = C / PE rounds; in round nf, element pe computes channel nf * PE + pe.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadNetwork
from ..tensors import CLASSES
from .hls_source import Declaration, HlsSource
from .parameters import BLOCKS, Block, Conv, Network, convs

_ROOT = Path("src", "w1a2_v1.0")
# Upstream's names of a block's layers: in the first block of a stage br10 is the projection and br2n the n-th
# convolution; in the others br20 is the block's input, and the convolutions follow it.
_PROJECTION_LAYERS = {"conva": "br20", "convb": "br21", "convc": "br22", "conv1": "br10"}
_IDENTITY_LAYERS = {"conva": "br21", "convb": "br22", "convc": "br23"}
_PROJECTION_INPUT, _IDENTITY_INPUT = "top0", "br20"
_CONFIG_PREFIX = {"conva": "RES_2A", "convb": "RES_2B", "convc": "RES_2C", "conv1": "RES_1"}

_BINARY_WEIGHTS = re.compile(r"(\d+)\s*,\s*(\d+)\s*,\s*(\d+)")  # SIMD, PE, TILES
_THRESHOLDS = re.compile(r"(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*ap_(u?)int\s*<\s*16\s*>.*", re.DOTALL)  # NF, PE, N


def import_checkout(path: str | Path) -> Network:
    """Read the network out of a checkout of Xilinx/ResNet50-PYNQ.

    Args:
        path: the checkout's folder, the one that has src/w1a2_v1.0.

    Raises:
        BadNetwork: a file is missing or is not of the expected form, with file and line.
    """
    root = Path(path) / _ROOT
    if not root.is_dir():
        raise BadNetwork(f"{path}: no checkout of Xilinx/ResNet50-PYNQ: there is no folder {_ROOT} in it")
    inpipe = _Folder(root / "inpipe")
    arrays: dict[str, NDArray[Any]] = {}
    arrays["conv0.weights"] = _conv0_weights(inpipe)
    arrays["conv0.thresholds"] = _conv0_thresholds(inpipe)
    for block in BLOCKS:
        arrays.update(_block(root / block.name, block))
    arrays["fc.bias"] = _bias(_Folder(root / "outpipe"))
    return Network.check(arrays)


class _Folder:
    """The declarations of one folder's params.h."""

    def __init__(self, path: Path) -> None:
        self._source = HlsSource(path / "params.h")
        self._declarations = self._source.declarations()

    def find(self, name: str, kind: str) -> Declaration:
        if name not in self._declarations:
            raise self._source.missing(f"the declaration of {name}")
        declaration = self._declarations[name]
        if declaration.type != kind:
            raise declaration.error(f"is of type {declaration.type}, expected {kind}")
        return declaration


def _conv0_weights(inpipe: _Folder) -> NDArray[np.int8]:
    """int8 (64, 7, 7, 3): the three bytes of a literal are the channels B, G, R."""
    values = inpipe.find("weights_conv0", "ap_uint").values((64, 49), 24)
    return values.view(np.int8).reshape(64, 7, 7, 3)


def _conv0_thresholds(inpipe: _Folder) -> NDArray[np.int32]:
    """int32 (64, 3): the four fields of a literal are signed 24-bit numbers, the fourth unused."""
    fields = inpipe.find("thres_conv0", "ap_uint").values((64, 1), 96).reshape(64, 4, 3)[:, :3]
    # Moved up by a byte, so that the field's sign bit is the integer's, and down again.
    return np.pad(fields, ((0, 0), (0, 0), (1, 0))).view("<i4")[..., 0] >> 8


def _bias(outpipe: _Folder) -> NDArray[np.int32]:
    """int32 (1000,)"""
    values = outpipe.find("bias_fc1000", "FixedPointWeights").values((1, 1, CLASSES), 32)
    return values.view("<i4").reshape(CLASSES)


def _block(path: Path, block: Block) -> Mapping[str, NDArray[Any]]:
    _check_config(HlsSource(path / "config.h"), block)
    params = _Folder(path)
    layers = _PROJECTION_LAYERS if block.projection else _IDENTITY_LAYERS
    top = _PROJECTION_INPUT if block.projection else _IDENTITY_INPUT
    arrays: dict[str, NDArray[Any]] = {}
    declaration = params.find(f"thres_FPGAThresholdLayer_{top}", "ThresholdsActivation")
    arrays[f"{block.name}.in.thresholds"] = _thresholds(declaration, block.cin, 3)
    for conv in convs(block):
        layer = f"FPGABipolarConvThresholdLayer_{layers[_short(conv)]}"
        arrays[f"{conv.name}.weights"] = _binary_weights(params.find(f"weights_{layer}", "BinaryWeights"), conv)
        declaration = params.find(f"thres_{layer}", "ThresholdsActivation")
        arrays[f"{conv.name}.thresholds"] = _thresholds(declaration, conv.cout, conv.levels)
    return arrays


def _check_config(config: HlsSource, block: Block) -> None:
    """Hold the block's channel counts and strides to the network that this package computes."""
    defines = config.defines()
    for conv in convs(block):
        prefix = _CONFIG_PREFIX[_short(conv)]
        for key, expected, needed in (
            ("IFMC", conv.cin, True),
            ("STRIDE", conv.stride, True),
            ("OFMC", conv.cout, False),
        ):
            name = f"{prefix}_{key}"
            if name not in defines:
                if needed:
                    raise config.missing(f"#define {name}")
                continue
            value, offset = defines[name]
            if value != expected:
                raise config.error(offset, f"{name} is {value}, expected {expected}: not the network w1a2_v1.0")


def _binary_weights(declaration: Declaration, conv: Conv) -> NDArray[np.uint8]:
    """uint8 (cout, k, k, cin / 8), from value[pe][tile].

    Bit s of tile (nf, ky, kx, i) is the weight of input channel i * SIMD + s.
    """
    match = _BINARY_WEIGHTS.fullmatch(declaration.arguments)
    if match is None:
        raise declaration.error(f"arguments are <{declaration.arguments}>, expected <SIMD, PE, TILES>")
    simd, pe, tiles = map(int, match.groups())
    k = conv.ksize
    if not simd or not pe or conv.cin % simd or conv.cout % pe or tiles * simd * pe != conv.cout * k * k * conv.cin:
        raise declaration.error(
            f"SIMD {simd}, PE {pe} and {tiles} tiles do not make a {k}x{k} convolution "
            f"of {conv.cin} to {conv.cout} channels"
        )
    values = declaration.values((1, pe, tiles), simd)
    bits = np.unpackbits(values, axis=-1, count=simd, bitorder="little")
    channels = bits.reshape(pe, conv.cout // pe, k, k, conv.cin).swapaxes(0, 1)
    return np.packbits(channels.reshape(conv.cout, k, k, conv.cin), axis=-1, bitorder="little")


def _thresholds(declaration: Declaration, channels: int, levels: int) -> NDArray[np.int32]:
    """int32 (channels, levels), from value[pe][nf][n]."""
    match = _THRESHOLDS.fullmatch(declaration.arguments)
    if match is None:
        raise declaration.error(
            f"arguments are <{declaration.arguments}>, expected <NF, PE, N, ap_int<16> or ap_uint<16>, ...>"
        )
    nf, pe, n = map(int, match.groups()[:3])
    if nf * pe != channels or n != levels:
        raise declaration.error(
            f"NF {nf}, PE {pe}, N {n} make {n} thresholds for {nf * pe} channels, expected {levels} for {channels}"
        )
    values = declaration.values((1, pe, nf, n), 16).view("<u2" if match[4] else "<i2")
    return values.reshape(pe, nf, n).swapaxes(0, 1).reshape(channels, levels).astype(np.int32)


def _short(conv: Conv) -> str:
    """res2a.conva -> conva"""
    return conv.name.partition(".")[2]
