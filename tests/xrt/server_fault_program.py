"""Runs on the bench: a server on xrt:0 whose device process misbehaves, and what its clients see of that.

    python server_fault_program.py FAULT TIMEOUT_S FOLDER

A line of JSON for each step: its name, what came of it ("right", "wrong", or the error's code), and how long it took.
"before" is repeated until it is right, and so is "after" where the card can come back: a busy machine may miss a
deadline by itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tritonclient.grpc
from resnet50_triton.network.engine import open_engine
from resnet50_triton.network.parameters import Network
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server

sys.path.append(str(Path(__file__).resolve().parent.parent))
from helpers import random_pixels, random_weights

BENCH = Path(os.environ["RESNET50_XRT_BENCH"])
LIMIT_S = 150.0  # a card that fails its first tests is tried again at growing intervals


def main() -> None:
    fault, timeout_s, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    np.save(folder / "weights.npy", random_weights(2))
    parameters = {
        "card": "xrt:0",
        "kernel_timeout_s": timeout_s,
        "failover_wait_s": "off",  # what a fault does is to be seen
        "network": os.environ["RESNET50_XRT_NETWORK"],
        "cross_check_percent": "100",
    }
    xclbin = Path(os.environ["RESNET50_XRT_XCLBIN"])
    deployment = Deployment(xclbin, folder / "weights.npy", parameters={"resnet50": parameters})
    repository = deployment.make_repository(folder / "models")
    with Server(repository, log=folder / "server.log") as server:
        server.wait_ready(150)
        with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
            show_fault(client, fault, float(timeout_s))
        print(json.dumps({"step": "end", "outcome": server.stop(), "duration_s": 0}))


def show_fault(client: tritonclient.grpc.InferenceServerClient, fault: str, timeout_s: float) -> None:
    pixels = random_pixels(3, 2)
    tensor = tritonclient.grpc.InferInput("PIXELS", pixels.shape, "UINT8")
    tensor.set_data_from_numpy(pixels)
    network = Network.load(os.environ["RESNET50_XRT_NETWORK"])
    expected = open_engine(network).logits(pixels, random_weights(2))

    def classify(step: str) -> str:
        start_s = time.monotonic()
        try:
            logits = client.infer("resnet50", [tensor], client_timeout=30).as_numpy("LOGITS")
            outcome = "right" if np.array_equal(logits, expected) else "wrong"
        except tritonclient.grpc.InferenceServerException as error:
            outcome = str(error.status())
        duration_s = round(time.monotonic() - start_s, 3)
        print(json.dumps({"step": step, "outcome": outcome, "duration_s": duration_s}), flush=True)
        return outcome

    repeat(classify, "before")
    if fault == "kill":
        (BENCH / "fault").write_text("hang")
        model = int((BENCH / "model.pid").read_text())
        threading.Timer(timeout_s / 2, os.kill, (model, signal.SIGKILL)).start()
    else:
        (BENCH / "fault").write_text(fault)
    classify("during")
    classify("at once")
    (BENCH / "fault").unlink()
    if fault == "kill":
        classify("after")
    else:
        repeat(classify, "after")


def repeat(classify: Callable[[str], str], step: str) -> None:
    end_s = time.monotonic() + LIMIT_S
    while classify(step) != "right" and time.monotonic() < end_s:
        time.sleep(0.1)


if __name__ == "__main__":
    main()
