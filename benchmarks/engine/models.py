"""A ResNet-50 of the card's topology with random weights, as ONNX in FP32 and INT8; runs in build/bench-venv.

The same graph for everybody: v1 (the stride is in a block's first 1x1), batch normalization folded away, and a symbolic
batch. INT8 is static: onnxruntime's own quantizer per channel, in both of its formats, and NNCF for OpenVINO.
The binary network is OpenVINO's W1A1: all convolutions but the first are BinaryConvolutions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))


class Graph:
    """Nodes and weights as they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._rng = np.random.default_rng(0)

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def weight(self, name: str, values: Any) -> str:
        self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def conv(self, x: str, cin: int, cout: int, ksize: int, stride: int, name: str, gain: float = 1.0) -> str:
        scale = gain * np.sqrt(2 / (cin * ksize * ksize))
        weights = self.weight(f"{name}.w", self._rng.standard_normal((cout, cin, ksize, ksize)) * scale)
        bias = self.weight(f"{name}.b", self._rng.standard_normal(cout) * 0.05)
        shape = {"kernel_shape": [ksize] * 2, "strides": [stride] * 2, "pads": [ksize // 2] * 4}
        return self.add("Conv", [x, weights, bias], name, **shape)

    def relu(self, x: str) -> str:
        return self.add("Relu", [x], f"{x}.relu")


def resnet50() -> Any:
    """The FP32 model."""
    g = Graph()
    x = g.relu(g.conv("input", 3, 64, 7, 2, "conv0"))
    x = g.add("MaxPool", [x], "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    cin = 64
    for stage, (width, count) in enumerate(STAGES, start=2):
        for index in range(count):
            name = f"res{stage}{'abcdef'[index]}"
            stride = 2 if stage > 2 and index == 0 else 1
            y = g.relu(g.conv(x, cin, width, 1, stride, f"{name}.conva"))
            y = g.relu(g.conv(y, width, width, 3, 1, f"{name}.convb"))
            y = g.conv(y, width, 4 * width, 1, 1, f"{name}.convc", gain=0.3)
            if index == 0:
                x = g.conv(x, cin, 4 * width, 1, stride, f"{name}.conv1", gain=0.7)
            x = g.relu(g.add("Add", [y, x], f"{name}.add"))
            cin = 4 * width
    x = g.add("Flatten", [g.add("GlobalAveragePool", [x], "average")], "features")
    head = g.weight("fc.w", np.random.default_rng(1).standard_normal((1000, 2048)) * 0.02)
    g.add("Gemm", [x, head, g.weight("fc.b", np.zeros(1000))], "output", transB=1)
    graph = helper.make_graph(
        g.nodes,
        "resnet50",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 1000])],
        g.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def calibration() -> Iterator[Any]:
    """Four random images: enough for ranges that make every operator an INT8 one; accuracy is not the question."""
    rng = np.random.default_rng(2)
    for _ in range(4):
        yield rng.standard_normal((1, 3, 224, 224)).astype(np.float32)


def quantize_for_onnxruntime(source: Path, folder: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images = calibration()

        def get_next(self) -> dict[str, Any] | None:
            image = next(self._images, None)
            return None if image is None else {"input": image}

    prepared = folder / "prepared.onnx"
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    for name, quant_format in (("qdq", QuantFormat.QDQ), ("qoperator", QuantFormat.QOperator)):
        quantize_static(
            str(prepared),
            str(folder / f"{name}.onnx"),
            Reader(),
            quant_format=quant_format,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def quantize_for_openvino(source: Path, folder: Path) -> None:
    import nncf
    import openvino

    model = openvino.Core().read_model(source)
    dataset = nncf.Dataset(list(calibration()))
    quantized = nncf.quantize(model, dataset, subset_size=4, preset=nncf.QuantizationPreset.PERFORMANCE)
    openvino.save_model(quantized, folder / "nncf.xml")


def binary_for_openvino(folder: Path) -> None:
    """Each binary convolution with its sign before it and a scale and offset for each channel behind it."""
    import openvino
    from openvino import op
    from openvino import opset8 as ops

    rng = np.random.default_rng(0)

    def constant(*shape: int, spread: float = 1.0) -> Any:
        return ops.constant((rng.standard_normal(shape) * spread).astype(np.float32))

    def conv(x: Any, cin: int, cout: int, ksize: int, stride: int) -> Any:
        low, high = (ops.constant(np.full((1, 1, 1, 1), value, np.float32)) for value in (-1, 1))
        middle = constant(1, cin, 1, 1, spread=0.1)
        bits = openvino.Tensor(openvino.Type.u1, openvino.Shape([cout, cin, ksize, ksize]))
        bits.data[:] = rng.integers(0, 256, bits.data.shape, np.uint8)
        pads = [ksize // 2] * 2
        sums = ops.binary_convolution(
            ops.fake_quantize(x, middle, middle, low, high, 2),
            op.Constant(bits),
            [stride] * 2,
            pads,
            pads,
            [1, 1],
            "xnor-popcount",
            -1.0,
        )
        scale = constant(1, cout, 1, 1, spread=1 / np.sqrt(cin * ksize * ksize))
        return ops.add(ops.multiply(sums, scale), constant(1, cout, 1, 1, spread=0.1))

    image = ops.parameter([-1, 3, 224, 224], np.float32, name="input")
    x = ops.convolution(image, constant(64, 3, 7, 7, spread=0.1), [2, 2], [3, 3], [3, 3], [1, 1])
    x = ops.relu(ops.add(x, constant(1, 64, 1, 1)))
    x = ops.max_pool(x, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
    cin = 64
    for stage, (width, count) in enumerate(STAGES, start=2):
        for index in range(count):
            stride = 2 if stage > 2 and index == 0 else 1
            y = ops.relu(conv(x, cin, width, 1, stride))
            y = ops.relu(conv(y, width, width, 3, 1))
            y = conv(y, width, 4 * width, 1, 1)
            x = ops.relu(ops.add(y, conv(x, cin, 4 * width, 1, stride) if index == 0 else x))
            cin = 4 * width
    features = ops.reshape(ops.reduce_mean(x, np.array([2, 3]), True), np.array([0, 2048]), True)
    output = ops.matmul(features, constant(1000, 2048, spread=0.02), False, True)
    openvino.save_model(openvino.Model([output], [image], "binary"), folder / "binary.xml", compress_to_fp16=False)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(resnet50(), folder / "fp32.onnx")
    quantize_for_onnxruntime(folder / "fp32.onnx", folder)
    quantize_for_openvino(folder / "fp32.onnx", folder)
    binary_for_openvino(folder)
    (folder / "done-with-binary").touch()


if __name__ == "__main__":
    main()
