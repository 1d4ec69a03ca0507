"""Encoded images -> pixels. Glue: the work is in resnet50_pynq.decode."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import triton_python_backend_utils as pb_utils
from resnet50_pynq import triton
from resnet50_pynq.decode import decode_image
from resnet50_pynq.errors import Resnet50Error
from resnet50_pynq.parameters import PREPROCESS
from resnet50_pynq.tensors import IMAGE, PIXELS, PIXELS_SHAPE


class TritonPythonModel:
    def initialize(self, args):
        parameters = triton.parameters(PREPROCESS, args, __file__)
        self.pool = ThreadPoolExecutor(parameters["workers"] or len(os.sched_getaffinity(0)), "decode")

    def execute(self, requests):
        # All images of all requests go to the pool at once; each request then waits for its own.
        return [self.respond(work) for work in [self.submit(request) for request in requests]]

    def submit(self, request):
        images = pb_utils.get_input_tensor_by_name(request, IMAGE.name).as_numpy().ravel()
        pixels = np.empty((len(images), *PIXELS_SHAPE), np.uint8)
        return pixels, [self.pool.submit(decode_image, data, out) for data, out in zip(images, pixels, strict=True)]

    def respond(self, work):
        pixels, futures = work
        try:
            for future in futures:
                future.result()
        except Resnet50Error as error:
            return triton.failure(error)
        return pb_utils.InferenceResponse([pb_utils.Tensor(PIXELS.name, pixels)])

    def finalize(self):
        self.pool.shutdown()
