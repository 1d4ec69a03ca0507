"""A helper process that decodes what the fast path does not, and is killed if an image takes too long.

No C library can be interrupted, and Pillow holds the GIL for much of what it does with hostile bytes. A process of its
own can be ended at any moment, shares no lock with the others' images, and is all that is lost where a decoder crashes.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import warnings
from multiprocessing.connection import Connection
from multiprocessing.spawn import get_executable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import BadImage, HelperNotStarted, SetupError
from ..tensors import PIXELS_SHAPE, PIXELS_SIZE_BYTES
from .header import ImageHeader
from .image import decode_known
from .options import DecodeOptions

# Helpers are forked from a server that has the decoders loaded: in some milliseconds, not in half a second.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])

START_S = 60.0  # the first helper waits until the decoders are loaded: less than a second on an idle machine
MAX_MESSAGE_BYTES = 1000  # of an error; the length distinguishes the two kinds of answers


class TookTooLong(Exception):
    """The image was not decoded in time; its helper is gone."""


class Helper:
    """One helper process, started when it is needed first; for one thread.

    Args:
        options: how images are decoded.
        niceness: added to the process's, so that long work gives way to short.
    """

    def __init__(self, options: DecodeOptions, niceness: int = 0) -> None:
        self._options = options
        self._niceness = niceness
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection

    def decode(self, data: bytes, header: ImageHeader, out: NDArray[np.uint8], limit_s: float) -> None:
        """Decode an image whose header was read into `out`, uint8 (224, 224, 3), contiguous.

        Raises:
            BadImage: the decoder refused it, or crashed on it.
            TookTooLong: it was not done in `limit_s` seconds.
            HelperNotStarted: there is no helper; another image may have one later.
        """
        if self._process is None or not self._process.is_alive():
            self._start()
        try:
            self._connection.send((header, limit_s))
            self._connection.send_bytes(data)
            if not self._connection.poll(limit_s):
                raise TookTooLong
            answer = self._connection.recv_bytes()
        except TookTooLong:
            self.close()
            raise
        except (EOFError, OSError) as error:
            exitcode = self.close()
            if exitcode == -signal.SIGALRM:
                raise TookTooLong from error
            raise BadImage(
                f"image of {len(data)} bytes ended its decoder (exit code {exitcode}): it is damaged, or needs more "
                "memory than there is"
            ) from error
        if len(answer) != PIXELS_SIZE_BYTES:
            raise BadImage(answer.decode(errors="replace"))
        out[:] = np.frombuffer(answer, np.uint8).reshape(PIXELS_SHAPE)

    def close(self) -> int | None:
        """End the process at once; returns its exit code."""
        if self._process is None:
            return None
        self._process.kill()
        self._process.join()
        exitcode = self._process.exitcode
        self._process.close()
        self._connection.close()
        self._process = None
        return exitcode

    def _start(self) -> None:
        self.close()
        try:
            ours, theirs = _context.Pipe()
            with theirs:
                process = _context.Process(
                    target=_serve, args=(theirs, self._options, self._niceness), name="decode helper", daemon=True
                )
                process.start()
        except (EOFError, OSError) as error:
            why = str(error) or type(error).__name__
            raise HelperNotStarted(f"decode helper could not be started: {why}") from error
        # Not before: a process that was not started can neither be asked whether it lives nor be ended.
        self._process, self._connection = process, ours


def prepare(options: DecodeOptions) -> None:
    """Start the process that helpers are forked from, which loads the decoders, and try a helper.

    Raises:
        SetupError: helpers cannot work here: without this, every image that needs one would be called damaged.
    """
    image = io.BytesIO()
    Image.new("RGB", (1, 1)).save(image, "PNG")
    helper = Helper(options)
    try:
        helper.decode(image.getvalue(), ImageHeader(is_fast=False, work=4), np.empty(PIXELS_SHAPE, np.uint8), START_S)
    except (BadImage, TookTooLong, HelperNotStarted) as error:
        why = str(error) or f"no answer in {START_S:g} s"
        raise SetupError(
            f"no decode helper works with the Python {os.fsdecode(get_executable())}: {why}; "
            "put the Python that has this package first in PATH"
        ) from error
    finally:
        helper.close()


def _serve(connection: Connection, options: DecodeOptions, niceness: int) -> None:
    """The helper: images in, pixels or an error out, until the other end is closed."""
    os.nice(niceness)
    # Pillow warns of each oddity in a file; senders of odd files are not to fill the log.
    warnings.simplefilter("ignore")
    out = np.empty(PIXELS_SHAPE, np.uint8)
    while True:
        try:
            header, limit_s = connection.recv()
            # Whatever becomes of the process that waits for the answer, this one does not outlive the limit by much.
            signal.setitimer(signal.ITIMER_REAL, limit_s + 1)
            data = connection.recv_bytes()
        except EOFError:
            return
        try:
            decode_known(data, header, out, options)
            answer = out.tobytes()
        except BadImage as error:
            answer = str(error).encode()[:MAX_MESSAGE_BYTES]
        connection.send_bytes(answer)
        signal.setitimer(signal.ITIMER_REAL, 0)
