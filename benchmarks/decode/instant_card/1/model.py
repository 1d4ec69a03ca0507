"""A card that answers at once: the first classes are every image's best. What remains is the road to and from it."""

import numpy as np
import triton_python_backend_utils as pb_utils

LOGITS = np.arange(1000, 0, -1, dtype=np.float32)


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "PIXELS").as_numpy()) for request in requests]

    def answer(self, pixels):
        return pb_utils.InferenceResponse([pb_utils.Tensor("LOGITS", np.tile(LOGITS, (len(pixels), 1)))])
