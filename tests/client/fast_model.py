"""A model for the tests of the client: IMAGE in, LOGITS and PROVENANCE out, computed from a checksum in no time.

It runs inside tritonserver. An image that begins with `bad` is refused. The checksum's last three digits are the class.
"""

import json
import time
import zlib

import numpy as np
import triton_python_backend_utils as pb_utils

TIMES = ("received", "upload_start", "upload_end", "kernel_start", "kernel_end", "download_start", "download_end")


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self.uuid = parameters["uuid"]["string_value"]
        self.clock_ns = int(parameters["clock_ns"]["string_value"])
        self.delay_s = float(parameters["delay_s"]["string_value"])

    def execute(self, requests):
        times = [self.now(), self.now()]
        images = [pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy().ravel() for request in requests]
        times += [self.now(), self.now()]
        time.sleep(self.delay_s)
        answers = [self.logits(some) for some in images]
        times += [self.now(), self.now(), self.now()]
        origin = {
            "card": "software:7",
            "kind": "software",
            "xclbin_uuid": self.uuid,
            "version": "9.9",
            "batch": sum(map(len, images)),
            **{f"{name}_ns": at for name, at in zip(TIMES, times, strict=True)},
        }
        told = json.dumps(origin).encode()
        return [self.response(*both, told) for both in zip(requests, images, answers, strict=True)]

    def logits(self, images):
        logits = np.zeros((len(images), 1000), np.float32)
        for row, image in enumerate(images):
            logits[row, (zlib.crc32(image) + np.arange(5)) % 1000] = [50, 40, 30, 20, 10]
        return logits

    def response(self, request, images, logits, told):
        if any(image.startswith(b"bad") for image in images):
            error = pb_utils.TritonError("this image is bad", pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=error)
        tensors = [
            pb_utils.Tensor("LOGITS", logits),
            pb_utils.Tensor("PROVENANCE", np.array([[told]] * len(images), dtype=object)),
        ]
        return pb_utils.InferenceResponse([t for t in tensors if t.name() in request.requested_output_names()])

    def now(self):
        return time.time_ns() + self.clock_ns
