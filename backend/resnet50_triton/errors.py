"""Every error this package raises on purpose, and whose fault each one is.

    Resnet50Error
    ├── CallerError            the request or the command is wrong        INVALID_ARG
    │   ├── BadImage           bytes that are no picture we accept
    │   ├── BadPixels          a pixel tensor of the wrong shape or type
    │   └── Unsupported        something this xclbin cannot give
    ├── Cancelled              the caller took the request back         CANCELLED
    ├── Expired                the request's own timeout has passed      UNAVAILABLE
    ├── Overloaded             more requests wait than may              UNAVAILABLE
    ├── HelperNotStarted       no process to decode in: no memory, say  UNAVAILABLE
    ├── SetupError             the deployment is wrong: file, parameter INVALID_ARG
    │   ├── BadParameter       a model parameter or option
    │   ├── BadWeights         the FC weights file
    │   ├── BadNetwork         a network parameter file
    │   ├── BadXclbin          an xclbin
    │   └── ServerNotFound     no tritonserver, or one that cannot start
    └── CardError              the card's fault, retry elsewhere          UNAVAILABLE
        ├── CardNotFound       no such card
        ├── CardTimeout        a run missed its deadline
        ├── WrongResult        the card computed something else than the known answer
        └── CardRule           use that the hardware forbids

Messages are lower case and name what was asked, what was found, the limit and the next step.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


class Resnet50Error(Exception):
    """Base class; `triton_code` is the name of a `TritonError` code."""

    triton_code = "INTERNAL"


class CallerError(Resnet50Error):
    """The request itself is wrong; sending it again cannot help."""

    triton_code = "INVALID_ARG"


class BadImage(CallerError):
    """Encoded bytes that do not decode to a picture within the limits."""


class BadPixels(CallerError):
    """A pixel tensor that is not uint8 (N, 224, 224, 3)."""


class Unsupported(CallerError):
    """A result that the loaded xclbin does not compute."""


class Cancelled(Resnet50Error):
    """A request whose caller took it back before the card saw it."""

    triton_code = "CANCELLED"


class Expired(Resnet50Error):
    """A request whose own timeout passed before the card saw it."""

    triton_code = "UNAVAILABLE"  # as Triton answers requests that expire in its queue


class Overloaded(Resnet50Error):
    """A request beyond those that may wait; refused before any work was done for it."""

    triton_code = "UNAVAILABLE"


class HelperNotStarted(Resnet50Error):
    """The machine gave no process to decode in (memory, descriptors): the image is not to blame."""

    triton_code = "UNAVAILABLE"


class SetupError(Resnet50Error):
    """The deployment is wrong: a file, a parameter, an installation."""

    triton_code = "INVALID_ARG"


class BadParameter(SetupError):
    """An unknown model parameter, or a value out of its range."""


class BadWeights(SetupError):
    """An FC weights file that is not 1000 x 2048 int8."""


class BadNetwork(SetupError):
    """Network parameters that are missing, misshapen or out of range."""


class BadXclbin(SetupError):
    """A file that is not an xclbin with the resnet50 kernel."""


class ServerNotFound(SetupError):
    """No usable tritonserver, Python backend stub or shared libpython."""


class CardError(Resnet50Error):
    """The card failed; the same request may succeed on another card or later."""

    triton_code = "UNAVAILABLE"


class CardNotFound(CardError):
    """A card name that matches no card on this machine."""


class CardTimeout(CardError):
    """A run that missed its deadline."""


class WrongResult(CardError):
    """Outputs that differ from the right ones, which `expected` are: the card cannot be trusted."""

    def __init__(self, message: str, expected: NDArray[Any]) -> None:
        super().__init__(message)
        self.expected = expected


class CardRule(CardError):
    """A use of the card that real hardware would not survive or would answer wrongly."""
