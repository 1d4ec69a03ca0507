"""`resnet50-client perf-data`: input files for perf_analyzer, with what the server answered to each image."""

from __future__ import annotations

import argparse
import base64
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet50_client.api import AsyncClient
from resnet50_client.commands.arguments import add_server, positive, server_options
from resnet50_client.commands.interrupt import run_until_done
from resnet50_client.errors import DatasetError
from resnet50_client.images import Item, find_images
from resnet50_client.pixels import decode_pixels, require_opencv
from resnet50_client.prediction import Prediction
from resnet50_client.screen import consoles

HELP = "write input files for perf_analyzer, with the server's answers as validation data"
EXAMPLES = """\
examples:
  resnet50-client perf-data val/ -o perf/
  perf_analyzer -m classify -i grpc -u localhost:8001 --input-data perf/classify.json --concurrency-range 32
  perf_analyzer -m resnet50 -i grpc -u localhost:8001 --input-data perf/resnet50.json -b 8 --concurrency-range 8

Writes classify.json (IMAGE: the files as they are) and resnet50.json (PIXELS: decoded in the client, which needs
OpenCV), each with the answers of the server at --url, so that perf_analyzer notices a wrong answer under load.

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="image, folder, archive or list")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="the folder to write to")
    parser.add_argument("--limit", type=positive, default=100, metavar="N", help="the most images to use (default 100)")
    add_server(parser, model=False)


def run(options: argparse.Namespace) -> bool:
    """Write the files, and print their names."""
    images = find_images(options.paths)
    out, _ = consoles()
    for path, count in write_perf_data(images.items[: options.limit], options.output, server_options(options)):
        out.print(f"{path}: {count} images")
    return True


def write_perf_data(items: Sequence[Item], folder: Path, server: Mapping[str, Any]) -> list[tuple[Path, int]]:
    """Write `classify.json` and `resnet50.json`, each named for the model that it is for.

    Args:
        items: the images; each is read twice.
        folder: the folder to write to; made if it is not there.
        server: options of AsyncClient, of the server whose answers are the right ones.

    Returns:
        The files, and how many images each holds.

    Raises:
        DatasetError: an image that cannot be classified, or no place to write.
    """
    require_opencv()
    written = []
    for model, pixels in (("classify", False), ("resnet50", True)):
        predictions = run_until_done(_classify(items, {**server, "model": model, "pixels": pixels}))
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
        client.top = client.classes
        return await client.classify(items)


def _image(item: Item) -> dict[str, Any]:
    data = item.read()
    serialized = struct.pack("<I", len(data)) + data  # perf_analyzer sends what it is given: a string with its length
    return {"IMAGE": {"content": {"b64": _base64(serialized)}, "shape": [1]}}


def _pixels(item: Item) -> dict[str, Any]:
    pixels = decode_pixels(item.read())
    return {"PIXELS": {"content": {"b64": _base64(pixels.tobytes())}, "shape": list(pixels.shape)}}


def _answer(prediction: Prediction) -> dict[str, Any]:
    """The model's output: LOGITS put together again from all classes with their scores, or TOP5."""
    if prediction.error is not None:
        raise DatasetError(f"'{prediction.source}' cannot be classified: {prediction.error} (leave it out)")
    output, values = "TOP5", np.array(prediction.class_ids, "<i4")
    if prediction.top[0].score is not None:
        logits = np.zeros(len(prediction.top), "<f4")
        logits[values] = [candidate.score or 0 for candidate in prediction.top]
        output, values = "LOGITS", logits
    return {output: {"content": {"b64": _base64(values.tobytes())}, "shape": [len(values)]}}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
