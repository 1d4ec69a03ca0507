"""Write input files for perf_analyzer: images as IMAGE and as PIXELS, and what the server answered to each."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet50_client.client import AsyncClient
from resnet50_client.errors import DatasetError
from resnet50_client.images import Item
from resnet50_client.pixels import decode_pixels, require_opencv
from resnet50_client.prediction import Prediction


def write_perf_data(items: Sequence[Item], folder: Path, server: Mapping[str, Any]) -> list[tuple[Path, int]]:
    """Write `classify.json` and `resnet50.json`, each named for the model that it is for.

    Args:
        items: the images; each is read twice.
        folder: where to write; made if it is not there.
        server: options of AsyncClient, of the server whose answers are the right ones.

    Returns:
        The files, and how many images each holds.

    Raises:
        DatasetError: an image that cannot be classified, or no place to write.
    """
    require_opencv()
    written = []
    for model, pixels in (("classify", False), ("resnet50", True)):
        predictions = asyncio.run(_classify(items, {**server, "model": model, "pixels": pixels}))
        inputs = [_pixels(item) if pixels else _image(item) for item in items]
        answers = [_answer(prediction) for prediction in predictions]
        path = folder / f"{model}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"data": inputs, "validation_data": answers}))
        except OSError as error:
            raise DatasetError(f"cannot write '{path}': {error.strerror}") from error
        written.append((path, len(inputs)))
    return written


async def _classify(items: Sequence[Item], options: Mapping[str, Any]) -> list[Prediction]:
    async with AsyncClient(**options) as client:
        return await client.classify(items)


def _image(item: Item) -> dict[str, Any]:
    data = item.read()
    serialized = struct.pack("<I", len(data)) + data  # perf_analyzer sends what it is given: a string with its length
    return {"IMAGE": {"content": {"b64": _base64(serialized)}, "shape": [1]}}


def _pixels(item: Item) -> dict[str, Any]:
    pixels = decode_pixels(item.read())
    return {"PIXELS": {"content": {"b64": _base64(pixels.tobytes())}, "shape": list(pixels.shape)}}


def _answer(prediction: Prediction) -> dict[str, Any]:
    if prediction.error is not None:
        raise DatasetError(f"'{prediction.source}' cannot be classified: {prediction.error} (leave it out)")
    top5 = np.array(prediction.class_ids, "<i4")
    return {"TOP5": {"content": {"b64": _base64(top5.tobytes())}, "shape": [len(top5)]}}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
