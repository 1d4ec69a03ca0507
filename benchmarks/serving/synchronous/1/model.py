"""The simplest model there could be, to measure ours against: copies, runs and answers one batch after the other."""

import numpy as np
import triton_python_backend_utils as pb_utils
from resnet50_triton.runtime.kernel import Kernel
from resnet50_triton.tensors import LOGITS, PIXELS
from resnet50_triton.triton import config as triton
from resnet50_triton.triton.parameters import RESNET50
from resnet50_triton.weights import load_fc_weights


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        return triton.complete_config(config, __file__)

    def initialize(self, args):
        p = triton.parameters(RESNET50, args, __file__)
        self.kernel = Kernel(p["xclbin"], load_fc_weights(p["fcweights"]), p["card"], threads=p["threads"])

    def execute(self, requests):
        batches = [pb_utils.get_input_tensor_by_name(request, PIXELS.name).as_numpy() for request in requests]
        result = self.kernel.run(np.concatenate(batches))
        ends = np.cumsum([len(batch) for batch in batches])
        answers = []
        for batch, end in zip(batches, ends, strict=True):
            logits = result.logits[end - len(batch) : end].astype(np.float32)
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor(LOGITS.name, logits)]))
        return answers

    def finalize(self):
        self.kernel.close()
