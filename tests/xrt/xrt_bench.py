"""A machine with one emulated U250 for the genuine XRT: the device process, and programs run on the machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from resnet50_triton.network.parameters import Network
from resnet50_triton.xclbin.kernel_info import KernelVariant
from resnet50_triton.xclbin.u250 import PLATFORM
from xrt_machine import HERE, SOCKET, make_environment, make_image, make_python

_LOOK_S = 0.2
_ENDING_S = 2.0  # for a program that ends by itself after what was waited for


@dataclass(frozen=True)
class Outcome:
    """How a program ended."""

    code: int | None  # None where it was ended for taking too long
    output: str
    duration_s: float


class Bench:
    """Context manager: the device process runs inside, and nothing is left behind."""

    def __init__(self, network: Network, kernel: KernelVariant, platform: str = PLATFORM, native: bool = False) -> None:
        """Build the machine.

        Args:
            network: what the card computes with.
            kernel: what the xclbin says that it returns.
            platform: the shell that the card says it has.
            native: the way to the card is ours over `pyxrt`, not PYNQ's.
        """
        self.native = native
        self.directory = Path(tempfile.mkdtemp(prefix="resnet50-xrt-", dir="/tmp"))  # see USER in make_environment
        try:
            self._network = self.directory / "net.npz"
            self._network.write_bytes(network.to_bytes())
            self.image = make_image(self.directory / "card.xclbin", network, kernel)
            self.python = make_python(self.directory / "venv")
            self.environment = {
                **os.environ,
                **make_environment(self.directory, platform, native),
                "PATH": os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)]),
                "RESNET50_XRT_BENCH": str(self.directory),
                "RESNET50_XRT_XCLBIN": str(self.image),
                "RESNET50_XRT_NETWORK": str(self._network),
            }
            self.start_model()
        except BaseException:
            shutil.rmtree(self.directory)
            raise

    def start_model(self) -> None:
        """Start the device process, after `kill_model` or a fault."""
        self.model = subprocess.Popen(
            [sys.executable, HERE / "model.py", self.directory, SOCKET, self.image, self._network],
            stdin=subprocess.DEVNULL,
        )
        (self.directory / "model.pid").write_text(str(self.model.pid))

    def kill_model(self) -> None:
        """End the device process at once."""
        self.model.kill()
        self.model.wait()

    def set_fault(self, fault: str | None) -> None:
        """Make the device process misbehave from its next start on; see `model.FAULTS`. None ends it."""
        path = self.directory / "fault"
        if fault is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(fault)

    def take_errors(self) -> str:
        """What went wrong in the device process since the last time."""
        path = self.directory / "errors"
        text = path.read_text() if path.exists() else ""
        path.unlink(missing_ok=True)
        return text

    def run(self, *command: str | Path, timeout_s: float, until: str | None = None) -> Outcome:
        """Run a program on this machine, in a session of its own, because XRT kills its process group when it crashes.

        Args:
            command: the program after the bench's Python, as "-c", "print(1)".
            timeout_s: how long at most: XRT itself waits for ever for a device process that has gone.
            until: end the program as soon as its output holds this.
        """
        start_s = time.monotonic()
        with (self.directory / "output").open("w+") as output:
            process = subprocess.Popen(
                [self.python, *command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            code: int | None = None
            try:
                while code is None and time.monotonic() < start_s + timeout_s:
                    seen = until is not None and until in (self.directory / "output").read_text()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        code = process.wait(_ENDING_S if seen else _LOOK_S)
                    if seen:
                        break
            finally:
                _kill_group(process)
            duration_s = time.monotonic() - start_s
            output.seek(0)
            return Outcome(code, output.read(), duration_s)

    def close(self) -> None:
        """End the device process and remove what the bench made."""
        self.kill_model()
        shutil.rmtree(self.directory)

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):  # all of it has ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


OpenBench = Callable[..., Bench]  # a fixture: the arguments of Bench
BenchOf = Callable[[KernelVariant], Bench]  # a fixture: the network is its own
