"""Pixels -> logits and top-5 on one card. Glue: the work is in resnet50_pynq.kernel."""

import numpy as np
import triton_python_backend_utils as pb_utils
from resnet50_pynq import triton
from resnet50_pynq.errors import Resnet50Error
from resnet50_pynq.kernel import Kernel
from resnet50_pynq.parameters import RESNET50
from resnet50_pynq.tensors import LOGITS, PIXELS, TOP5
from resnet50_pynq.weights import load_fc_weights


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        return triton.complete_outputs(config, __file__)

    def initialize(self, args):
        p = triton.parameters(RESNET50, args, __file__)
        self.kernel = Kernel(
            p["xclbin"],
            load_fc_weights(p["fcweights"]),
            p["card"],
            threads=p["threads"],
            timeout_s=p["kernel_timeout_s"],
        )
        pb_utils.Logger.log_info(f"resnet50 runs on {self.kernel.description}")

    def execute(self, requests):
        batches = [pb_utils.get_input_tensor_by_name(request, PIXELS.name).as_numpy() for request in requests]
        try:
            result = self.kernel.run(np.concatenate(batches))
        except Resnet50Error as error:
            return [triton.failure(error) for _ in requests]
        starts = np.cumsum([0, *map(len, batches)])
        return [
            self.response(request, result, slice(start, start + len(batch)))
            for request, batch, start in zip(requests, batches, starts, strict=False)
        ]

    def response(self, request, result, images):
        wanted = request.requested_output_names()
        tensors = []
        if LOGITS.name in wanted and result.logits is not None:
            tensors.append(pb_utils.Tensor(LOGITS.name, result.logits[images].astype(np.float32)))
        if TOP5.name in wanted:
            tensors.append(pb_utils.Tensor(TOP5.name, result.top5[images].astype(np.int32)))
        return pb_utils.InferenceResponse(tensors)

    def finalize(self):
        self.kernel.close()
