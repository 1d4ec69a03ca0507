"""Every error this package raises on purpose.

    ClientError
    ├── DatasetError        files, labels or options that do not fit together
    ├── ModelMismatch       the model on the server takes or gives something else
    ├── ServerUnavailable   no server, or one that stopped answering
    └── RequestRefused      the server answered this one request with an error

Messages are lower case and say what was asked, what was found and the next step.
"""

from __future__ import annotations


class ClientError(Exception):
    """Base class."""


class DatasetError(ClientError):
    """Image paths, a labels file or a names file that cannot be used."""


class ModelMismatch(ClientError):
    """The model is unknown to the server, or its tensors are not those of `classify`."""


class ServerUnavailable(ClientError):
    """The server cannot be reached, or gave no answer in time."""


class RequestRefused(ClientError):
    """The server refused one request; others are not affected."""
