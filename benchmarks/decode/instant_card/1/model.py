"""A card that answers at once: every image is of classes 0, 1, 2, 3, 4. What remains is the road to and from it."""

import numpy as np
import triton_python_backend_utils as pb_utils

TOP5 = np.arange(5, dtype=np.int32)


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "PIXELS").as_numpy()) for request in requests]

    def answer(self, pixels):
        return pb_utils.InferenceResponse([pb_utils.Tensor("TOP5", np.tile(TOP5, (len(pixels), 1)))])
