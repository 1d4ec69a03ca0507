"""One contender in a process of its own: worker.py KIND MODEL BATCH THREADS.

Prints a JSON line with its versions when it is ready. Then, for each number on its standard input, it runs so many
inferences and prints the seconds they took. Runs in build/bench-venv, or in the project's environment for `engine`.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Run = Callable[[], Any]


def onnxruntime(model: str, batch: int, threads: int) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_free_dimension_override_by_name("N", batch)
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {"input": images(batch)}
    return lambda: session.run(None, feed)


def openvino(model: str, batch: int, threads: int) -> Run:
    """One request at a time, all threads on it."""
    import openvino as ov

    request = compile_openvino(model, batch, threads, "LATENCY").create_infer_request()
    request.set_input_tensor(ov.Tensor(images(batch)))
    return lambda: request.infer()


def openvino_streams(model: str, batch: int, threads: int) -> Run:
    """A request for each thread at once: OpenVINO's mode for throughput. A run is `threads` batches."""
    import openvino as ov

    requests = ov.AsyncInferQueue(compile_openvino(model, batch, threads, "THROUGHPUT"), threads)
    x = images(batch)

    def run() -> None:
        for _ in range(threads):
            requests.start_async({0: x}, share_inputs=True)
        requests.wait_all()

    return run


def compile_openvino(model: str, batch: int, threads: int, hint: str) -> Any:
    import openvino as ov

    core = ov.Core()
    network = core.read_model(model)
    network.reshape([batch, 3, 224, 224])
    config: dict[str, Any] = {"PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": threads}
    if hint == "THROUGHPUT":
        config["NUM_STREAMS"] = threads
    # Else FP32 would be computed in bfloat16 where the CPU has it.
    config["INFERENCE_PRECISION_HINT"] = "f32"
    return core.compile_model(network, "CPU", config)


def engine(model: str, batch: int, threads: int) -> Run:
    from resnet50_triton.network.engine import open_engine
    from resnet50_triton.network.parameters import Network

    rng = np.random.default_rng(3)
    loaded = open_engine(Network.load(model), threads)
    pixels = rng.integers(0, 256, (batch, 224, 224, 3), np.uint8)
    weights = rng.integers(-128, 128, (1000, 2048), np.int8)
    out = np.empty((batch, 1000), np.int32)
    return lambda: loaded.logits(pixels, weights, out)


def images(batch: int) -> Any:
    return np.random.default_rng(3).standard_normal((batch, 3, 224, 224)).astype(np.float32)


KINDS = {"onnxruntime": onnxruntime, "openvino": openvino, "openvino-streams": openvino_streams, "engine": engine}


def main() -> None:
    kind, model, batch, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    run = KINDS[kind](model, batch, threads)
    for _ in range(3):
        run()
    package = {"engine": "resnet50-pynq-triton"}.get(kind, kind.split("-")[0])
    print(json.dumps({"version": importlib.metadata.version(package)}), flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(int(line)):
            run()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
