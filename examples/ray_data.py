"""Classify any number of images with Ray Data, on one machine or many: each actor has a client, answers go to Parquet.

    pip install 'ray[data]' resnet50-client
    python examples/ray_data.py val/ answers/ --url card7:8001 --url card8:8001 --workers 4

A block of images whose worker dies is classified again by another, and no answer is written twice. With RAY_ADDRESS it
runs on that cluster; the images may then be in S3 and the like.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import ray
from resnet50_client import Client, Item
from resnet50_client.formats import SUFFIXES  # of all that the client sends, TIFF and HEIC too; Ray skips other files


class Classifier:
    """An actor: a client that stays connected from block to block."""

    def __init__(self, urls: list[str] | None) -> None:
        self.client = Client(urls)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Answer a batch.

        Args:
            batch: `path` and `bytes` of each image.

        Returns:
            The columns of the answer. An image that cannot be classified has an `error`.

        Raises:
            RuntimeError: the server failed, which says nothing about the images; Ray tries the block again.
        """
        items = [Item(path, lambda data=data: data) for path, data in zip(batch["path"], batch["bytes"], strict=True)]
        answers = self.client.classify(items)
        if faults := [answer.error for answer in answers if answer.is_server_fault]:
            raise RuntimeError(f"{len(faults)} of {len(items)} images got no answer: {faults[0]}")
        best = [answer.top[0] if answer.top else None for answer in answers]
        return {
            "file": [answer.source for answer in answers],
            "class": [candidate and candidate.class_id for candidate in best],
            "name": [candidate and candidate.name for candidate in best],
            "score": [candidate and candidate.score for candidate in best],
            "margin": [answer.margin for answer in answers],
            "error": [answer.error for answer in answers],
            "xclbin_uuid": [answer.xclbin_uuid for answer in answers],
            "worker": [os.getpid()] * len(answers),
        }


def main() -> None:
    """Read, classify, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", help="folder or URL of images")
    parser.add_argument("answers", help="folder or URL to write the Parquet files to")
    parser.add_argument("--url", action="append", help="a server; several share each worker's images")
    parser.add_argument("--workers", type=int, default=1, help="actors, each with a client (default 1)")
    parser.add_argument("--block", type=int, default=1024, help="images that a worker answers at once (default 1024)")
    options = parser.parse_args()
    ray.data.DataContext.get_current().actor_task_retry_on_errors = [RuntimeError]
    images = ray.data.read_binary_files(
        options.images, include_paths=True, file_extensions=[suffix[1:] for suffix in SUFFIXES]
    )
    answers = images.map_batches(
        Classifier,
        fn_constructor_args=(options.url,),
        batch_size=options.block,
        concurrency=options.workers,
        num_cpus=0.25,  # it waits for the server most of the time
    )
    answers.write_parquet(options.answers)


if __name__ == "__main__":
    main()
