"""Chooses the device class for the installed XRT: PYNQ's XrtDevice up to 2.15, ours over `pyxrt` after it."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pynq._3rdparty import xrt
from pynq.pl_server import xrt_device

WORKING_PYNQ = "3.0.1"  # the last release that drives Alveo cards; from 3.1 on PYNQ finds none
OLDEST_XRT = (2, 3)  # PYNQ's own limit: older ones have no scheduler for it
NEWEST_XRT_OF_PYNQ = (2, 15)  # the last with all the calls that it makes
TRIED_XRT = "2.13"  # in emulation, both ways, see tests/xrt

# What PYNQ calls for us; XRT drops old functions from time to time, and ctypes would notice in the middle of the work.
_CALLS = (
    "xclProbe",
    "xclOpen",
    "xclGetDeviceInfo2",
    "xclLockDevice",
    "xclUnlockDevice",
    "xclLoadXclBin",
    "xclIPName2Index",
    "xclOpenContext",
    "xclCloseContext",
    "xclAllocBO",
    "xclMapBO",
    "xclGetBOProperties",
    "xclSyncBO",
    "xclFreeBO",
    "xclExecBuf",
    "xclExecWait",
)


@dataclass(frozen=True)
class Way:
    """How Alveos are driven here.

    native: by our device over `pyxrt`, and not by PYNQ's own.
    why: one sentence, for the doctor.
    lacking: what keeps it from working; None where nothing does.
    """

    native: bool
    why: str
    lacking: str | None = None


def find_way() -> Way:
    """How this process drives Alveos, by what XILINX_XRT named when PYNQ was imported."""
    installed = metadata.version("pynq")
    if installed != WORKING_PYNQ:
        return _closed(
            f"pynq {installed} is installed, and {WORKING_PYNQ} is the release that is known to drive Alveo cards; "
            f"run 'pip install pynq=={WORKING_PYNQ}'"
        )
    if not xrt.XRT_SUPPORTED:
        if "XILINX_XRT" in os.environ:
            mode = os.environ.get("XCL_EMULATION_MODE")
            return _closed(f"PYNQ does not support XRT's emulation mode '{mode}'; unset XCL_EMULATION_MODE")
        return _closed(
            "XRT is not set up (XILINX_XRT is not set); run 'source /opt/xilinx/xrt/setup.sh' before this program"
        )
    folder = os.environ["XILINX_XRT"]
    version: tuple[int, ...] = xrt_device._xrt_version
    name = xrt_name()
    gone = [call for call in _CALLS if not hasattr(xrt.libc, call)]
    if gone or version[:2] > NEWEST_XRT_OF_PYNQ:
        last = ".".join(map(str, NEWEST_XRT_OF_PYNQ))
        reason = f"has no {', '.join(gone)}" if gone else f"is newer than {last}"
        why = f"pyxrt, because {name} {reason}, and PYNQ {installed} can drive XRT up to {last} only"
        return Way(True, why, _lacking_pyxrt(name))
    working = f"{OLDEST_XRT[0]}.{OLDEST_XRT[1]} or newer is needed, {TRIED_XRT} is known to work with pynq {installed}"
    if not any(version):
        return _closed(f"the version of XRT cannot be read from {folder}/version.json; {working}")
    if version < OLDEST_XRT:
        return _closed(f"{name} is too old; {working}")
    return Way(False, f"PYNQ's XrtDevice, because {name} has all the calls that PYNQ {installed} makes")


def xrt_name() -> str:
    """Which XRT is here, for messages; XILINX_XRT has to be set."""
    version = xrt_device._xrt_version
    return f"XRT {'.'.join(map(str, version)) if any(version) else 'of unknown version'} in {os.environ['XILINX_XRT']}"


def import_pyxrt() -> Any:
    """XRT's own Python module; setup.sh puts its folder into PYTHONPATH, here it is found without too.

    Raises:
        ImportError: it is not there, or not for this Python.
    """
    folder = str(_pyxrt_folder())
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module("pyxrt")


def _closed(lacking: str) -> Way:
    return Way(False, "none", lacking)


def _pyxrt_folder() -> Path:
    return Path(os.environ["XILINX_XRT"], "python")


def _lacking_pyxrt(name: str) -> str | None:
    try:
        import_pyxrt()
    except ImportError as error:
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        there = ", ".join(sorted(path.name for path in _pyxrt_folder().glob("pyxrt*.so"))) or "none"
        return (
            f"{name} is driven through its Python module pyxrt, which Python {python} cannot import ({error}); found "
            f"in {_pyxrt_folder()}: {there}; XRT builds it for the distribution's Python: set up with that one "
            "(make clean setup PYTHON=/usr/bin/python3)"
        )
    return None
