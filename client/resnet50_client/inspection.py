"""One image in the two steps of `classify`: what the network sees of it, its classes, and what each step takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from resnet50_client.balancer import Balancer
from resnet50_client.errors import RequestRefused
from resnet50_client.formats import as_server_takes
from resnet50_client.images import Item
from resnet50_client.prediction import Prediction, Provenance
from resnet50_client.transport import Connection, bytes_payload, pixels_payload

DECODING_HERE = "decoding here"  # a stage
PREPROCESS, KERNEL = "preprocess", "resnet50"  # the steps of the ensemble `classify`
Predict = Callable[[str, Mapping[str, "npt.NDArray[Any]"], Connection], Prediction]


@dataclass(frozen=True)
class Inspection:
    """An answer, with what led to it."""

    prediction: Prediction
    pixels: npt.NDArray[np.uint8]  # (224, 224, 3), RGB: what the network sees
    stages_s: Mapping[str, float]  # seconds of each stage, in order; those of the card where the server tells
    decoded_here: str | None = None  # the format, if the server does not take it


async def inspect(
    item: Item, servers: Balancer, outputs: Sequence[str], channel_order: str, predict: Predict
) -> Inspection:
    """Ask `preprocess` for the pixels, and `resnet50` for their classes.

    Args:
        item: the image.
        servers: that serve both models.
        outputs: of `resnet50`, to ask for.
        channel_order: of PIXELS.
        predict: makes a prediction of the answer.

    Raises:
        RequestRefused: the image cannot be read, or the server refuses it.
        ServerUnavailable: no answer.
    """
    began = time.perf_counter()
    try:
        data, decoded_here = await asyncio.to_thread(lambda: as_server_takes(item.read()))
    except OSError as error:
        raise RequestRefused(f"cannot read the file: {error.strerror or error}") from error
    sent = time.perf_counter()
    answer, _ = await servers.infer(PREPROCESS, bytes_payload(data), ["PIXELS"])
    pixels = np.asarray(answer["PIXELS"], np.uint8)
    decoded = time.perf_counter()
    answer, connection = await servers.infer(KERNEL, pixels_payload(pixels), outputs)
    prediction = predict(item.name, answer, connection)
    answered = time.perf_counter()
    stages = {DECODING_HERE: sent - began} if decoded_here else {}
    stages["preprocess"] = decoded - sent
    stages.update(_kernel_stages(answered - decoded, prediction.provenance))
    prediction = replace(prediction, latency_s=answered - sent)
    rgb = np.ascontiguousarray(pixels if channel_order == "RGB" else pixels[..., ::-1])
    return Inspection(prediction, rgb, stages, decoded_here)


def _kernel_stages(round_trip_s: float, told: Provenance | None) -> dict[str, float]:
    """The model `resnet50`: the way to it and back, and its card's stages, all as the server's clock has them."""
    if told is None:
        return {KERNEL: round_trip_s}
    stages = {
        "queue": told.upload_start_ns - told.received_ns,
        "upload": told.upload_end_ns - told.upload_start_ns,
        "kernel": told.kernel_end_ns - told.kernel_start_ns,
        "download": told.download_end_ns - told.download_start_ns,
    }
    at_model_s = (told.download_end_ns - told.received_ns) / 1e9
    return {"transport": max(0.0, round_trip_s - at_model_s), **{name: ns / 1e9 for name, ns in stages.items()}}
