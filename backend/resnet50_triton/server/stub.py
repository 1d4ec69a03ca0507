"""Triton's stub, the program that a Python model runs in, prepared for this Python and the bundled server."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from ..errors import ServerNotFound

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
STUB = "triton_python_backend_stub"


def make_python_backend(bundle: Path, libpython: Path, directory: Path) -> Path:
    """Lay out Triton's Python backend with the stub of this Python.

    The stub is a copy: Triton may change the mode of the file that it runs, and its path to libraries starts where it
    lies. The stub for 3.13 (nvidia-pytriton 0.7.0) is linked to a libpython of its own in the wheel, which looks for
    modules in files that Debian has built into its libpython: it gets the present Python's library under that name.

    Args:
        bundle: the folder `pytriton/tritonserver` of the wheel.
        libpython: the shared library of this Python.
        directory: where the backend goes; made here.

    Returns:
        The folder that has to come first in the server's LD_LIBRARY_PATH.

    Raises:
        ServerNotFound: the bundle has no stub for this Python; the message names those that it has.
    """
    stubs = bundle / "python_backend_stubs"
    stub = stubs / PYTHON / STUB
    if not stub.is_file():
        found = sorted((path.parent.name for path in stubs.glob(f"3.*/{STUB}")), key=lambda name: int(name[2:]))
        raise ServerNotFound(
            f"the bundled server has no stub for Python {PYTHON} in {stubs}; it has {', '.join(found) or 'none'}: "
            "set up again with one of these, from 3.10 on (make clean setup PYTHON=/path/to/python)"
        )
    backend = directory / "python"
    backend.mkdir(parents=True)
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        (backend / name).symlink_to(bundle / "backends" / "python" / name)
    shutil.copy2(stub, backend)
    for theirs in (bundle.parent.parent / "nvidia_pytriton.libs").glob(f"libpython3-*.{sys.version_info.minor}.so*"):
        (backend / theirs.name).symlink_to(libpython)
    return backend


def python_of(stub: Path) -> str:
    """The Python that a stub runs, "3.12", by the library that it is linked to; "" where it does not show that."""
    found = re.search(rb"libpython(3\.\d+)\.so", stub.read_bytes())
    return found[1].decode() if found else ""
