"""Triton's requests as jobs for the cards, and the results as Triton's responses. Only importable in Triton's stub."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from ..errors import BadPixels, Resnet50Error, Unsupported
from ..ranking import top5
from ..runtime.instance import InstanceInfo, ModelInstance
from ..runtime.job import Job
from ..runtime.metrics import FAMILIES, Labels
from ..tensors import LOGITS, PIXELS, PROVENANCE, TOP5
from .alone import Alone
from .config import failure, parameters
from .parameters import RESNET50

_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def _responses_take_parameters() -> bool:
    try:
        pb_utils.InferenceResponse(output_tensors=[], parameters={})
    except TypeError:  # Triton before 24.11
        return False
    return True


class TritonMetrics:
    """Triton's own metrics as the sink of ours. The families are kept: Triton drops their metrics with them."""

    def __init__(self, model: str, version: str) -> None:
        self._common = {"model": model, "version": version}
        self._families: dict[str, Any] = {}
        self._metrics: dict[tuple[str, Labels], tuple[Any, float]] = {}

    def put(self, name: str, labels: Labels, value: float) -> None:
        """Bring one metric up to date; what has not changed costs nothing."""
        metric, last = self._metrics.get((name, labels), (None, 0.0))
        if metric is None:
            metric = self._family(name).Metric(labels={**self._common, **dict(labels)})
        elif value == last:
            return
        if FAMILIES[name].kind == "counter":
            metric.increment(value - last)
        else:
            metric.set(value)
        self._metrics[name, labels] = metric, value

    def _family(self, name: str) -> Any:
        if name not in self._families:
            family = FAMILIES[name]
            kind = pb_utils.MetricFamily.COUNTER if family.kind == "counter" else pb_utils.MetricFamily.GAUGE
            self._families[name] = pb_utils.MetricFamily(name=name, description=family.help, kind=kind)
        return self._families[name]


class KernelModel:
    """What model.py does: cards opened, requests answered later by the cards' threads, all closed.

    Args:
        args: what Triton gives `initialize`.
        model_file: the model.py.

    Raises:
        Resnet50Error: the model cannot be loaded.
    """

    def __init__(self, args: dict[str, str], model_file: str) -> None:
        config = json.loads(args["model_config"])
        place = _place(args, config)
        self._instance = ModelInstance(
            parameters(RESNET50, args, model_file),
            place,
            max(1, config["max_batch_size"]),
            TritonMetrics(place.model, args["model_version"]),
        )
        self._with_parameters = _responses_take_parameters()
        self._alone = Alone()
        self._unanswered: set[_Answer] = set()
        self._computes_logits = self._instance.image.kernel == "logits"
        log = pb_utils.Logger
        log.log_info(f"{args['model_instance_name']} runs on {self._instance.description}")

    def is_ready(self) -> bool:
        """Whether enough cards work."""
        return self._instance.pool.is_ready()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Take requests. The answers come later, except those of requests that are refused at once, and those of
        requests that come one at a time (see `alone`)."""
        waits = self._alone.should_wait(len(requests), not self._unanswered)
        jobs: list[Job] = []
        answers: list[Any] = []
        for request in requests:
            try:
                jobs.append(self._job(request, waits))
                answers.append(jobs[-1].answer if waits else None)
            except Resnet50Error as error:
                self._instance.metrics.add("resnet50_refused_total", code=error.triton_code)
                answers.append(failure(error))
            except Exception as error:  # whatever is wrong with one request is its own affair
                answers.append(failure(BadPixels(f"the request cannot be read: {type(error).__name__}: {error}")))
        self._instance.pool.submit(jobs, attend=waits)
        if waits:
            answers = [answer.wait() if isinstance(answer, _Answer) else answer for answer in answers]
        return answers

    def _job(self, request: Any, waits: bool) -> Job:
        wanted = request.requested_output_names()
        if LOGITS.name in wanted and not self._computes_logits:
            raise Unsupported("LOGITS were asked for, but the xclbin's kernel returns TOP5 only")
        pixels = pb_utils.get_input_tensor_by_name(request, PIXELS.name).as_numpy()
        timeout_us = request.timeout()
        answer = _Answer(self._unanswered, wanted, self._with_parameters)
        job = Job(pixels, answer, request.is_cancelled, timeout_us / 1e6 if timeout_us else None)
        # Last, because a request with a sender must be answered through it.
        if not waits:
            answer.sender = request.get_response_sender()
        self._unanswered.add(answer)
        return job

    def close(self) -> None:
        """Answer what was taken, and let go of the cards."""
        self._instance.close()


class _Answer:
    """One request's response: sent, or where there is no sender kept for `wait`."""

    def __init__(self, unanswered: set[_Answer], wanted: list[str], with_parameters: bool) -> None:
        self.sender: Any = None
        self._unanswered = unanswered
        self._wanted = wanted
        self._with_parameters = with_parameters
        self._given = threading.Lock()  # locked until the response is there
        self._given.acquire()

    def __call__(self, job: Job, error: Resnet50Error | None) -> None:
        self._unanswered.discard(self)
        try:
            response = failure(error) if error else self._response(job)
        except Exception as failed:  # somebody waits for this answer, whatever it is
            response = failure(Resnet50Error(f"the answer cannot be made: {type(failed).__name__}: {failed}"))
        if self.sender:
            self.sender.send(response, flags=_FINAL)
        else:
            self._kept = response
            self._given.release()

    def wait(self) -> Any:
        """The response, as soon as there is one."""
        self._given.acquire()
        return self._kept

    def _response(self, job: Job) -> Any:
        results: Any = job.results
        has_logits = results.dtype == np.int32
        tensors = []
        if LOGITS.name in self._wanted:
            tensors.append(pb_utils.Tensor(LOGITS.name, results.astype(np.float32)))
        if TOP5.name in self._wanted:
            best = top5(results) if has_logits else results
            tensors.append(pb_utils.Tensor(TOP5.name, best.view(np.int32)))
        if PROVENANCE.name in self._wanted:
            told = np.empty((len(job), 1), object)
            for images, origin in job.origins:
                told[images] = origin.to_json()
            tensors.append(pb_utils.Tensor(PROVENANCE.name, told))
        if self._with_parameters:
            return pb_utils.InferenceResponse(tensors, parameters=job.origins[0][1]._asdict())
        return pb_utils.InferenceResponse(tensors)


def _place(args: dict[str, str], config: dict[str, Any]) -> InstanceInfo:
    """Instances are named MODEL_GROUP_INDEX."""
    group, index = map(int, args["model_instance_name"].rsplit("_", 2)[1:])
    counts = [int(g["count"]) for g in config["instance_group"]]
    return InstanceInfo(args["model_name"], os.getppid(), os.getpid(), sum(counts[:group]) + index, sum(counts))
