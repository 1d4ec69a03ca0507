"""A model's config.pbtxt as Triton's own message, read and changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from ..errors import BadParameter


def read_config(path: Path) -> model_config_pb2.ModelConfig:
    """The configuration in a file. Raises BadParameter where it is none."""
    try:
        return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise BadParameter(f"{path} is not a model configuration: {error}") from error


@contextmanager
def changed_config(path: Path) -> Iterator[model_config_pb2.ModelConfig]:
    """The configuration in a file, which is written back at the end."""
    config = read_config(path)
    yield config
    path.write_text(text_format.MessageToString(config))
