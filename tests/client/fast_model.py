"""A model for the tests of the client: IMAGE in, LOGITS out, and PROVENANCE if asked for, from a checksum in no time.

It runs inside tritonserver. An image that begins with `bad` is refused, one that begins with `fault NAME ` fails with
that error of Triton's. The checksum's last three digits are the class.
"""

import json
import time
import zlib

import numpy as np
import triton_python_backend_utils as pb_utils

SOFTWARE = 1  # the kind of card that it claims to be


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        uuid = int(parameters["xclbin_uuid"]["string_value"], 16)
        self.uuid = np.array([uuid >> 64, uuid & (1 << 64) - 1], np.uint64).view(np.int64).tolist()
        self.clock_ns = int(parameters["clock_ns"]["string_value"])
        self.delay_s = float(parameters["delay_s"]["string_value"])
        self.failed = set()

    def execute(self, requests):
        times = [self.now(), self.now()]
        images = [pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy().ravel() for request in requests]
        times += [self.now(), self.now()]
        time.sleep(self.delay_s)
        answers = [self.logits(some) for some in images]
        times += [self.now(), self.now(), self.now()]
        told = [SOFTWARE, 7, *self.uuid, sum(map(len, images)), *times, 1]
        return [self.response(*both, told) for both in zip(requests, images, answers, strict=True)]

    def logits(self, images):
        logits = np.zeros((len(images), 1000), np.float32)
        for row, image in enumerate(images):
            logits[row, (zlib.crc32(image) + np.arange(5)) % 1000] = [50, 40, 30, 20, 10]
        return logits

    def response(self, request, images, logits, told):
        for image in images:
            code, text = self.trouble(image)
            if code:
                error = pb_utils.TritonError(text, getattr(pb_utils.TritonError, code))
                return pb_utils.InferenceResponse(error=error)
        tensors = [
            pb_utils.Tensor("LOGITS", logits),
            pb_utils.Tensor("PROVENANCE", np.array([told] * len(images), np.int64)),
        ]
        return pb_utils.InferenceResponse([t for t in tensors if t.name() in request.requested_output_names()])

    def trouble(self, image):
        if image.startswith(b"bad"):
            return "INVALID_ARG", "this image is bad"
        how, code, *_ = [*image.decode("latin-1").split(" "), ""]
        if how == "fault" or (how == "once" and image not in self.failed):
            self.failed.add(image)
            return code, "Stub process 'resnet50_0_0' is not healthy."
        return "", ""

    def now(self):
        return time.time_ns() + self.clock_ns
