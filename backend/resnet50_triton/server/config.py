"""A model's config.pbtxt as Triton's own message, read and changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2


def read_config(path: Path) -> model_config_pb2.ModelConfig:
    """The configuration in a file."""
    return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())


@contextmanager
def changed_config(path: Path) -> Iterator[model_config_pb2.ModelConfig]:
    """The configuration in a file, which is written back at the end."""
    config = read_config(path)
    yield config
    path.write_text(text_format.MessageToString(config))
