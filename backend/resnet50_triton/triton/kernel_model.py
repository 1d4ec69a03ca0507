"""The model `resnet50`: Triton's requests as jobs for the cards, results as responses. Only for Triton's stub."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from ..errors import BadPixels, Resnet50Error
from ..runtime.batch import Provenance
from ..runtime.directory import process_key
from ..runtime.instance import InstanceInfo, ModelInstance
from ..runtime.job import Job, JobResult, Outcome
from ..tensors import CLASSES, LOGITS, PROVENANCE, TOP5, provenance_row
from .config import failure, parameters
from .metrics import TritonMetrics
from .parameters import RESNET50

_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class KernelModel:
    """What model.py does: cards opened, requests answered by the cards' threads, all closed.

    Args:
        args: what Triton gives `initialize`.
        model_file: the model.py.

    Raises:
        Resnet50Error: the model cannot be loaded.
    """

    def __init__(self, args: dict[str, str], model_file: str) -> None:
        config = json.loads(args["model_config"])
        p = parameters(RESNET50, args, model_file)
        info = _instance_info(args["model_instance_name"], args["model_name"], config)
        sink = TritonMetrics(info.model, args["model_version"])
        self._instance = ModelInstance(p, info, max(1, config["max_batch_size"]), sink)
        self._gives_provenance = p["provenance"]
        self._gives_logits_alone = self._instance.xclbin.kernel == "logits" and not self._gives_provenance
        self._with_parameters = self._gives_provenance and _responses_take_parameters()
        pb_utils.Logger.log_info(f"{args['model_instance_name']} runs on {self._instance.description}")

    def is_ready(self) -> bool:
        """Whether enough cards work."""
        return self._instance.scheduler.is_ready()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Take requests. The answers come later, except those of requests that are refused at once."""
        # To run one here and return its answer gains nothing that could be measured, and the client's next request may
        # come before we have returned: Triton 2.51, where its queue has timeouts, overlooks that one for 0.5 s.
        taken: list[_Request] = []
        responses: list[Any] = []
        for request in requests:
            try:
                taken.append(_Request(request, self._response))
                responses.append(None)
            except Resnet50Error as error:
                self._instance.metrics.add("resnet50_refused_total", code=error.triton_code)
                responses.append(failure(error))
            except Exception as error:  # a fault of one request must not fail the others
                responses.append(failure(BadPixels(f"the request cannot be read: {type(error).__name__}: {error}")))
        self._instance.scheduler.submit([request.job for request in taken])
        if len(taken) == 1 and self._gives_logits_alone:
            taken[0].prepare()
        return responses

    def _response(self, request: Any, outcome: Outcome) -> Any:
        """The answer to a request."""
        if isinstance(outcome, Resnet50Error):
            return failure(outcome)
        try:
            if self._gives_provenance:
                return self._with_provenance(request, outcome)
            return pb_utils.InferenceResponse([_output(outcome)])
        except Exception as error:  # of any kind: the client waits for this answer
            return failure(Resnet50Error(f"the answer cannot be made: {type(error).__name__}: {error}"))

    def _with_provenance(self, request: Any, result: JobResult) -> Any:
        told = [
            (images, batch.provenance(self._instance.uuid_of(batch.card), result.arrived_s, runs))
            for images, batch, runs in result.parts
        ]
        # Only what is asked for: Triton 2.51 frees the rest without Python's lock, which ended Python 3.13.
        wanted = request.requested_output_names()
        tensors = [tensor for tensor in [_output(result)] if tensor.name() in wanted]
        if PROVENANCE.name in wanted:
            rows = np.empty((len(result.outputs), *PROVENANCE.dims), np.int64)
            for images, provenance in told:
                rows[images] = self._row(provenance)
            tensors.append(pb_utils.Tensor(PROVENANCE.name, rows))
        if self._with_parameters:
            return pb_utils.InferenceResponse(tensors, parameters=told[0][1]._asdict())
        return pb_utils.InferenceResponse(tensors)

    def _row(self, provenance: Provenance) -> tuple[int, ...]:
        is_emulation = self._instance.xclbin.target == "hw_emu"
        return provenance_row(provenance.card, is_emulation, provenance.xclbin_uuid, *provenance[2:])

    def close(self) -> None:
        """Answer what was taken, and let go of the cards."""
        self._instance.close()


class _Request:
    """One of Triton's requests, and its job. The job forgets it once it is answered: its pixels lie in Triton's shared
    memory, whose pool would grow if they waited for Python's collector.

    Args:
        request: Triton's.
        respond: makes the response to a request of its outcome.

    Raises:
        BadPixels: it cannot be computed.
    """

    def __init__(self, request: Any, respond: Callable[[Any, Outcome], Any]) -> None:
        pixels = request.inputs()[0].as_numpy()  # there is one; Triton's search by name is Python's
        timeout_us = request.timeout()
        self.job = Job(pixels, self._answer, request.is_cancelled, timeout_us / 1e6 if timeout_us else None)
        self._request, self._respond = request, respond
        self._prepared: tuple[NDArray[np.float32], Any] | None = None
        self._sender = request.get_response_sender()  # last: a request that has one must be answered through it

    def prepare(self) -> None:
        """Make the response while the card works: after its run the client would wait for it."""
        if not self.job.is_answered:
            with suppress(Exception):  # it is made again then
                logits = np.empty((len(self.job), CLASSES), np.float32)
                self._prepared = logits, pb_utils.InferenceResponse([pb_utils.Tensor(LOGITS.name, logits)])

    def _answer(self, outcome: Outcome) -> None:
        if self._prepared is not None and isinstance(outcome, JobResult):
            logits, response = self._prepared
            logits[:] = outcome.outputs
        else:
            response = self._respond(self._request, outcome)
        self._sender.send(response, flags=_FINAL)


def _output(result: JobResult) -> Any:
    outputs = result.outputs
    if outputs.dtype == np.int32:
        return pb_utils.Tensor(LOGITS.name, outputs.astype(np.float32))
    return pb_utils.Tensor(TOP5.name, outputs.view(np.int32))


def _responses_take_parameters() -> bool:
    try:
        pb_utils.InferenceResponse(output_tensors=[], parameters={})
    except TypeError:  # Triton before 25.02
        return False
    return True


def _instance_info(instance_name: str, model: str, config: dict[str, Any]) -> InstanceInfo:
    """Which of the model's instances this is: named GROUP_NUMBER by the instance groups of the configuration.

    Where the name fits no group, it is taken for the only one: it then drives all cards of the parameter.
    """
    server = process_key(os.getppid())
    before = 0
    groups = config.get("instance_group", [])
    total = sum(int(group.get("count", 1)) for group in groups)
    for group in groups:
        count = int(group.get("count", 1))
        for index in range(count):
            if instance_name == f"{group.get('name', '')}_{index}":
                return InstanceInfo(model, server, before + index, total)
        before += count
    return InstanceInfo(model, server)
