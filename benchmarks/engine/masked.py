"""An onnxruntime that sees a CPU without AVX-512.

onnxruntime has no switch for it: its kernels ask the CPUID instruction. So a copy of its library has every CPUID
replaced by an undefined instruction, and a preloaded handler answers in its place, without the AVX-512 and AMX bits.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

_CPUID, _UNDEFINED = b"\x0f\xa2", b"\x0f\x0b"


def environment(venv: Path, build: Path) -> dict[str, str]:
    """Environment variables for a worker; makes the patched copy at first."""
    handler, packages = build / "mask_cpuid.so", build / "masked"
    if not (packages / "done").exists():
        source = Path(__file__).with_name("mask_cpuid.c")
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", str(source), "-o", str(handler)], check=True)
        shutil.rmtree(packages, ignore_errors=True)
        original = next(venv.glob("lib/python3*/site-packages/onnxruntime"))
        shutil.copytree(original, packages / "onnxruntime")
        for library in (packages / "onnxruntime" / "capi").glob("*.so*"):
            patch(library)
        (packages / "done").touch()
    return {"PYTHONPATH": str(packages), "LD_PRELOAD": str(handler)}


def patch(library: Path) -> int:
    """Replace the CPUID instructions of a library, in place; returns how many there were."""
    listing = subprocess.run(["objdump", "-dw", str(library)], check=True, capture_output=True, text=True).stdout
    addresses = [int(a, 16) for a in re.findall(r"^\s*([0-9a-f]+):\t0f a2 \s*\tcpuid", listing, re.MULTILINE)]
    code = bytearray(library.read_bytes())
    for address in addresses:
        offset = file_offset(library, address)
        if code[offset : offset + 2] != _CPUID:
            raise SystemExit(f"{library}: no CPUID at {address:#x}")
        code[offset : offset + 2] = _UNDEFINED
    library.write_bytes(code)
    return len(addresses)


def file_offset(library: Path, address: int) -> int:
    """Where in the file the byte at a virtual address lies, by the program headers."""
    headers = subprocess.run(["readelf", "-lW", str(library)], check=True, capture_output=True, text=True).stdout
    for offset, virtual, size in re.findall(r"^\s+LOAD\s+0x(\w+)\s+0x(\w+)\s+0x\w+\s+0x(\w+)", headers, re.MULTILINE):
        start = int(virtual, 16)
        if start <= address < start + int(size, 16):
            return address - start + int(offset, 16)
    raise SystemExit(f"{library}: {address:#x} is in no segment")
