"""ResNet-50 INT8 by OpenVINO or onnxruntime: uint8 NHWC in, logits out. The requests of a batch are computed as one.

Normalization and layout are part of the graph, as both projects advise, so that the engine vectorizes them.
"""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

MEAN, STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)  # of ImageNet; B, G, R


def openvino(folder, threads, max_batch):
    import openvino as ov

    core = ov.Core()
    network = core.read_model(folder / "nncf.xml")
    network.reshape([ov.Dimension(1, max_batch), 3, 224, 224])
    steps = ov.preprocess.PrePostProcessor(network)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(ov.Type.f32).mean(list(MEAN)).scale(list(STD))
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}  # a batch at a time, all threads on it
    request = core.compile_model(steps.build(), "CPU", options).create_infer_request()

    def run(pixels):
        request.infer([pixels], share_inputs=True)
        return request.get_output_tensor().data

    return run


def onnxruntime(folder, threads, max_batch):  # noqa: ARG001 - takes any batch
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(folder / "qdq.onnx")
    graph = model.graph
    constants = {"mean": np.array(MEAN, np.float32), "scale": 1 / np.array(STD, np.float32)}
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    nodes = [
        helper.make_node("Cast", ["PIXELS"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["as_float", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["normalized"]),
        helper.make_node("Transpose", ["normalized"], [graph.input[0].name], perm=[0, 3, 1, 2]),
        *graph.node,
    ]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info("PIXELS", TensorProto.UINT8, ["N", 224, 224, 3]))
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"PIXELS": pixels})[0]


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        p = {name: value["string_value"] for name, value in config["parameters"].items()}
        engine = {"openvino": openvino, "onnxruntime": onnxruntime}[p["engine"]]
        self.run = engine(Path(p["folder"]), int(p["threads"]), config["max_batch_size"])

    def execute(self, requests):
        parts = [pb_utils.get_input_tensor_by_name(request, "PIXELS").as_numpy() for request in requests]
        logits = self.run(np.concatenate(parts) if len(parts) > 1 else parts[0])
        ends = np.cumsum([len(part) for part in parts])
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("LOGITS", logits[end - len(part) : end])])
            for part, end in zip(parts, ends, strict=True)
        ]
