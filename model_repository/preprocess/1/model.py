"""Encoded images -> pixels. Glue: the work is in resnet50_triton.decode."""

import os
import threading
import warnings

import triton_python_backend_utils as pb_utils
from resnet50_triton.decode import DecodeOptions, DecodePool
from resnet50_triton.tensors import IMAGE, PIXELS
from resnet50_triton.triton import config as triton
from resnet50_triton.triton.inflight import CardQueue
from resnet50_triton.triton.parameters import PREPROCESS


class TritonPythonModel:
    def initialize(self, args):
        # Pillow warns of each oddity in a file; senders of odd files are not to fill the log.
        warnings.filterwarnings("ignore", module="PIL")
        p = triton.parameters(PREPROCESS, args, __file__)
        self.max_decode_s = p["max_decode_s"]
        self.pool = DecodePool(p["decode_workers"] or len(os.sched_getaffinity(0)), DecodeOptions.of_parameters(p))
        self.card_queue = CardQueue(p["max_inflight_requests"], pb_utils.Logger.log_warn)

    def execute(self, requests):
        self.card_queue.wait_for_room(len(requests))
        images, parts = [], []
        for request in requests:
            encoded = pb_utils.get_input_tensor_by_name(request, IMAGE.name).as_numpy().ravel()
            parts.append(slice(len(images), len(images) + len(encoded)))
            images.extend(encoded)
        batch = self.pool.start(images)
        if batch.wait_but_for_late():
            return [self.response(batch, part) for part in parts]
        # Requests with images that take long are answered later, by a thread: None tells Triton so.
        done = [batch.is_done(part) for part in parts]
        late = [(r.get_response_sender(), part) for r, part, ok in zip(requests, parts, done, strict=True) if not ok]
        threading.Thread(target=self.answer_late, args=(batch, late)).start()
        return [self.response(batch, part) if ok else None for part, ok in zip(parts, done, strict=True)]

    def answer_late(self, batch, late):
        for sender, part in late:
            batch.wait_at_most(part, self.max_decode_s)
            sender.send(self.response(batch, part), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def response(self, batch, part):
        error = batch.error(part, self.max_decode_s)
        if error:
            return triton.failure(error)
        return pb_utils.InferenceResponse([pb_utils.Tensor(PIXELS.name, batch.pixels[part])])

    def finalize(self):
        self.pool.close()
