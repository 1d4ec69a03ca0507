"""A server of `fast_model.py`, and images for it: many small files whose classes are known without a server."""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path

CONFIG = """\
name: "classify"
backend: "python"
max_batch_size: 128
input {{ name: "IMAGE" data_type: TYPE_STRING dims: [ 1 ] }}
output {{ name: "LOGITS" data_type: TYPE_FP32 dims: [ 1000 ] label_filename: "labels.txt" }}
dynamic_batching {{ }}
instance_group {{ count: 1 kind: KIND_CPU }}
parameters {{ key: "xclbin_uuid" value {{ string_value: "{uuid}" }} }}
parameters {{ key: "clock_ns" value {{ string_value: "{clock_ns}" }} }}
parameters {{ key: "delay_s" value {{ string_value: "{delay_s}" }} }}
"""
TOLD = 'output { name: "PROVENANCE" data_type: TYPE_INT64 dims: [ 13 ] }\n'
UUID = "0123abcd" * 4
OTHER_UUID = "feedbeef" * 4


def make_fast_repository(
    folder: Path, uuid: str = UUID, clock_ns: int = 0, delay_s: float = 0.0, provenance: bool = True
) -> Path:
    """A model repository with the fast model as `classify`.

    Args:
        folder: where; must not exist.
        uuid: of the xclbin that it claims to have.
        clock_ns: how far its clock is ahead.
        delay_s: how long a batch takes.
        provenance: whether it tells card and times, as with `serve --provenance`.
    """
    version = folder / "classify" / "1"
    version.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("fast_model.py"), version / "model.py")
    config = CONFIG.format(uuid=uuid, clock_ns=clock_ns, delay_s=delay_s) + (TOLD if provenance else "")
    (folder / "classify" / "config.pbtxt").write_text(config)
    (folder / "classify" / "labels.txt").write_text("".join(f"thing {i}\n" for i in range(1000)))
    return folder


def fast_class(image: bytes) -> int:
    """The class that the fast model gives an image."""
    return zlib.crc32(image) % 1000


def make_images(folder: Path, count: int, size_bytes: int = 200) -> Path:
    """Images and labels.txt: of each ten the first seven right, one wrong, one unlabelled, one refused.

    Returns:
        The labels file; it has a label without an image, too.
    """
    folder.mkdir(parents=True)
    lines = ["gone.jpg 3"]
    for i in range(count):
        image = (b"bad " if i % 10 == 9 else b"") + f"image {i}".encode().ljust(size_bytes)
        (folder / f"{i:05}.jpg").write_bytes(image)
        if i % 10 != 8:
            lines.append(f"{i:05}.jpg {(fast_class(image) + (500 if i % 10 == 7 else 0)) % 1000}")
    labels = folder.with_suffix(".labels.txt")
    labels.write_text("\n".join(lines))
    return labels
