"""Writes a network in the form of a checkout of Xilinx/ResNet50-PYNQ, to test the importer with.

The layout is written down here a second time and the other way round, element by element, so that the importer is not
tested against its own arithmetic.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from resnet50_triton.network.parameters import BLOCKS, SHAPES, Block, Conv, Network, convs

# Line numbers in the tests count from here: what stands before the first declaration of each params.h.
_PREAMBLE = "#include <ap_int.h> // {not = an initialiser};\n/* const ap_uint<24> weights_conv0[1][1] = {{7}};\n*/\n"

_LAYERS = {
    True: {"conva": "br20", "convb": "br21", "convc": "br22", "conv1": "br10"},
    False: {"conva": "br21", "convb": "br22", "convc": "br23"},
}
_DEFINES = {"conva": "2A", "convb": "2B", "convc": "2C", "conv1": "1"}


def random_network(seed: int) -> Network:
    """All parameters random over all that their types hold."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    for name, (shape, dtype) in SHAPES.items():
        if dtype is np.int8 or dtype is np.uint8:
            arrays[name] = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape)
        elif name == "fc.bias":
            arrays[name] = rng.integers(-(2**31), 2**31, shape)
        elif name == "conv0.thresholds":
            arrays[name] = rng.integers(-(2**23), 2**23, shape)
        elif name.endswith(".in.thresholds"):
            arrays[name] = rng.integers(0, 2**16, shape)  # the unsigned ones
        else:
            arrays[name] = rng.integers(-(2**15), 2**15, shape)
    return Network.check(arrays)


def write_checkout(root: Path, network: Network, seed: int = 0) -> None:
    """Write src/w1a2_v1.0 below `root`; `seed` varies SIMD, PE, quotes, comments and line breaks."""
    style = random.Random(seed)
    folder = root / "src" / "w1a2_v1.0"
    _write(folder / "inpipe", "#pragma once\n", _inpipe(network, style))
    for block in BLOCKS:
        _write(folder / block.name, _config(block), _block(network, block, style))
    bias = _braces([[network["fc.bias"].tolist()]], style, str)
    _write(folder / "outpipe", "#pragma once\n", f"FixedPointWeights<1, ap_int<32>, 1, 1000> bias_fc1000 = {bias};")


def _write(folder: Path, config: str, params: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.h").write_text(config)
    (folder / "params.h").write_text(_PREAMBLE + params)


def _inpipe(network: Network, style: random.Random) -> str:
    weights = [
        [sum((int(value) & 0xFF) << (8 * c) for c, value in enumerate(pixel)) for pixel in channel]
        for channel in network["conv0.weights"].reshape(64, 49, 3)
    ]
    thresholds = [
        [sum((int(value) & 0xFFFFFF) << (24 * n) for n, value in enumerate(channel))]
        for channel in network["conv0.thresholds"]
    ]
    return (
        f"// weights\nconst ap_uint<24> weights_conv0[64][49] = \n{_braces(weights, style, hex)};\n\n"
        f"const ap_uint<24*4> thres_conv0[64][1] = \n{_braces(thresholds, style, _quoted)};\n"
    )


def _config(block: Block) -> str:
    lines = ["#pragma once", "// BYPASS", "#define RES_BYPINBITS 4", "#define RES_2A_WINTERPRET Recast<Binary>"]
    for conv in convs(block):
        prefix = f"RES_{_DEFINES[conv.name.partition('.')[2]]}"
        for key, value in (("IFMC", conv.cin), ("OFMC", conv.cout), ("STRIDE", conv.stride)):
            lines.append(f"#define {prefix}_{key} {value}")
    return "\n".join(lines) + "\n"


def _block(network: Network, block: Block, style: random.Random) -> str:
    top = "top0" if block.projection else "br20"
    parts = [
        _thresholds(f"thres_FPGAThresholdLayer_{top}", network[f"{block.name}.in.thresholds"], "ap_uint<16>", style),
    ]
    for conv in convs(block):
        layer = f"FPGABipolarConvThresholdLayer_{_LAYERS[block.projection][conv.name.partition('.')[2]]}"
        parts.append(_weights(f"weights_{layer}", network[f"{conv.name}.weights"], conv, style))
        parts.append(_thresholds(f"thres_{layer}", network[f"{conv.name}.thresholds"], "ap_int<16>", style))
    style.shuffle(parts)
    return "// thresholds\n" + "\n\n".join(parts)


def _weights(name: str, packed: Any, conv: Conv, style: random.Random) -> str:
    simd, pe = style.choice([32, 64]), style.choice([8, 16, 32])
    words = [
        int.from_bytes(word, "little") for word in packed.reshape(-1, simd // 8).view(f"V{simd // 8}").ravel().tolist()
    ]
    fold = conv.ksize**2 * conv.cin // simd  # words an output channel
    values = [
        [words[(round_ * pe + element) * fold + i] for round_ in range(conv.cout // pe) for i in range(fold)]
        for element in range(pe)
    ]
    spell = style.choice([hex, _quoted])
    return f"BinaryWeights<{simd}, {pe}, {len(values[0])}> {name} = {{\n    {_braces(values, style, spell)}}};"


def _thresholds(name: str, thresholds: Any, kind: str, style: random.Random) -> str:
    pe = style.choice([8, 32])
    rounds = len(thresholds) // pe
    rows = thresholds.tolist()
    values = [
        [[value & 0xFFFF for value in rows[round_ * pe + element]] for round_ in range(rounds)] for element in range(pe)
    ]
    spell = style.choice([lambda value: f'"0x{value:04x}"', lambda value: f"0x{value:x}", str])
    arguments = f"{rounds}, {pe}, {len(rows[0])}, {kind}, ap_uint<2>, 0, std::less_equal<{kind}>"
    return f"ThresholdsActivation<{arguments}> {name} = {{\n{_braces(values, style, spell)}}};"


def _quoted(value: int) -> str:
    return f'"0x{value:x}"'


def _braces(values: Sequence[Any], style: random.Random, spell: Any) -> str:
    """Nested braces with blanks, line breaks and comments now and then."""
    if isinstance(values[0], list):
        inner = [_braces(value, style, spell) for value in values]
    else:
        inner = [spell(value) for value in values]
    for i in range(1, len(inner), style.randint(4, 16)):  # not before the first, which tests edit
        inner[i] = style.choice(["\n   ", " ", "", " // {0x1,\n", "/* 1 */ "]) + inner[i]
    return "{" + ", ".join(inner) + "}"
