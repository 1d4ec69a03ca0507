"""What the bench's machine consists of: XRT's files and settings, the xclbin, and a Python of its own.

PYNQ loads Debian's libxrt_hwemu, as on a user's machine in XRT's emulation mode. Traps, each found the hard way,
are noted where they are avoided.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zlib
from pathlib import Path

import nanobind
from resnet50_triton.network.parameters import Network
from resnet50_triton.xclbin.container import Kind, Mode, build_xclbin, open_xclbin
from resnet50_triton.xclbin.kernel_info import KernelVariant, software_xclbin
from resnet50_triton.xclbin.u250 import FEATURE_ROM_TIME, PLATFORM

HERE = Path(__file__).resolve().parent
SOCKET = "device"
_XRT_VERSION = "2.13.466"  # Debian 12's
_TOO_NEW_FOR_PYNQ = "2.16.0"  # what the machine says of the same library where it has `pyxrt` too
BUILD = HERE.parent.parent / "build"
_PACKET_BYTES = 1 << 20


def missing() -> str | None:
    """What this machine lacks for the bench, and how to get it; None where nothing is missing."""
    needed = {
        "libxrt-dev": ctypes.util.find_library("xrt_hwemu") and Path("/usr/include/xrt/xrt/xrt_kernel.h").exists(),
        "g++": shutil.which("c++"),
    }
    lacks = [package for package, found in needed.items() if not found]
    if not lacks:
        return None
    return f"XRT's test bench needs {' and '.join(lacks)} of Debian 12; scripts/setup-xrt installs them, as root"


def make_image(path: Path, network: Network, kernel: KernelVariant) -> Path:
    """Write an xclbin for hw_emu: what a software xclbin says, but no network in BITSTREAM."""
    software = path.with_suffix(".software")
    software.write_bytes(software_xclbin(network, kernel))
    with software.open("rb") as file:
        xclbin = open_xclbin(file, str(software))
        sections = {Kind(section.kind): xclbin.find(Kind(section.kind)) for section in xclbin.sections}
    software.unlink()
    sections[Kind.BITSTREAM] = b"no simulator: tests/xrt/model.py answers"
    metadata = sections[Kind.EMBEDDED_METADATA]
    sections[Kind.EMBEDDED_METADATA] = metadata.replace(b'target="software"', b'target="hw_em"')
    # The driver looks into the GROUP_ section only.
    sections[Kind.GROUP_TOPOLOGY] = sections[Kind.MEM_TOPOLOGY]
    sections[Kind.GROUP_CONNECTIVITY] = sections[Kind.CONNECTIVITY]
    path.write_bytes(build_xclbin(sections.items(), PLATFORM, Mode.HW_EMU, FEATURE_ROM_TIME))
    return path


def make_python(directory: Path) -> Path:
    """Make a virtual environment with the packages of this one, around a *copy* of the interpreter.

    XRT writes its log and its run directory beside the file of the running program.
    """
    venv.EnvBuilder(symlinks=False).create(directory)
    packages = directory / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    here = sysconfig.get_path("purelib")
    (packages / "packages.pth").write_text(
        f"import site; site.addsitedir({here!r})\n"  # reads the .pth files there, unlike a plain line
    )
    _copy_stub(packages)
    return directory / "bin" / "python"


def build_pyxrt() -> Path:
    """The stand-in for XRT's module `pyxrt`, compiled for this Python; once, until its source changes."""
    source, bindings = HERE / "pyxrt.cpp", Path(nanobind.__file__).parent
    version = f"{sys.implementation.cache_tag}-{nanobind.__version__}"
    module = BUILD / f"pyxrt-{version}-{zlib.crc32(source.read_bytes()):08x}" / "pyxrt.so"
    if module.exists():
        return module
    module.parent.mkdir(parents=True, exist_ok=True)
    scratch = module.with_suffix(f".{os.getpid()}")
    folders = [bindings / "include", bindings / "ext/robin_map/include", Path(sysconfig.get_path("include"))]
    options = [*(f"-I{folder}" for folder in folders), "-isystem/usr/include/xrt", "-std=c++17", "-O1", "-shared"]
    options += ["-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing", "-o", str(scratch)]
    sources = [str(source), str(bindings / "src/nb_combined.cpp")]
    subprocess.run(["c++", *options, *sources, "-lxrt_coreutil"], check=True, timeout=600)
    scratch.replace(module)
    return module


def make_environment(directory: Path, platform: str, native: bool) -> dict[str, str]:
    """Write XRT's files, and return the variables that make programs use them.

    Args:
        directory: where.
        platform: the shell that the card says it has.
        native: as an XRT after 2.15, with `pyxrt`; the library is the same.
    """
    library = directory / "xrt" / "lib" / "libxrt_hwemu.so"
    library.parent.mkdir(parents=True)
    library.symlink_to(_library_path(str(ctypes.util.find_library("xrt_hwemu"))))
    (directory / "xrt" / "version.json").write_text(
        json.dumps({"BUILD_VERSION": _TOO_NEW_FOR_PYNQ if native else _XRT_VERSION})
    )
    if native:
        (directory / "xrt" / "python").mkdir()
        (directory / "xrt" / "python" / "pyxrt.so").symlink_to(build_pyxrt())
    (directory / "emconfig.json").write_text(json.dumps(_emulation_config(platform)))
    # Debian's build overruns its buffer with every message that is larger than the first, which carries this file:
    # make that one the largest.
    (directory / "xrt.ini").write_text(
        f"[Emulation]\ndont_run=true\npacket_size={_PACKET_BYTES}\nprint_infos_in_console=false\n"
        f"[Debug]\npadding={'x' * (_PACKET_BYTES + 4096)}\n"
    )
    short_sleep = directory / "short_sleep.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", short_sleep, HERE / "short_sleep.c"], check=True, timeout=60)
    return {
        "XILINX_XRT": str(directory / "xrt"),
        "XCL_EMULATION_MODE": "hw_emu",
        "XRT_INI_PATH": str(directory / "xrt.ini"),  # unset, XRT takes ./xrt.ini silently
        "EMCONFIG_PATH": str(directory),
        "SDACCEL_EM_RUN_DIR": str(directory),
        "EMULATION_SOCKETID": SOCKET,
        # XRT makes its sockets in /tmp/$USER: so they go away with this folder.
        "USER": directory.name,
        "LD_PRELOAD": str(short_sleep),
        # PYNQ unmaps the pages of a freed buffer, which here come from malloc: let each have pages of its own.
        "MALLOC_MMAP_THRESHOLD_": "4096",
    }


def _copy_stub(packages: Path) -> None:
    """The bundled tritonserver as links, but for the program that the models run in: that is a copy too."""
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        return
    original = Path(spec.origin).parent
    stub = Path("tritonserver") / "python_backend_stubs"
    copy = packages / "pytriton"
    _link_all(original, copy, but="tritonserver")
    _link_all(original / "tritonserver", copy / "tritonserver", but=stub.name)
    shutil.copytree(original / stub, copy / stub)
    (packages / "nvidia_pytriton.libs").symlink_to(original.parent / "nvidia_pytriton.libs")


def _link_all(source: Path, target: Path, but: str) -> None:
    target.mkdir()
    for item in source.iterdir():
        if item.name != but:
            (target / item.name).symlink_to(item)


def _library_path(name: str) -> Path:
    """Where the loader finds a library."""
    listing = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        if line.strip().startswith(f"{name} "):
            return Path(line.rpartition("=> ")[2])
    raise FileNotFoundError(f"ldconfig does not list {name}")


def _emulation_config(platform: str) -> dict[str, object]:
    """What `emconfigutil` of Vitis writes for one card of a platform."""
    device = {
        "NumDevices": "1",
        "Name": platform,
        "HalMajorVersion": "1",
        "HalMinorVersion": "0",
        "VendorId": "4334",
        "SubsystemVendorId": "0",
        "DeviceVersion": "0",
        "DdrBanks": [{"Name": "", "Size": "16GB"}] * 4,
        "OclFreqency": "250",  # their spelling
        "FeatureRom": {
            "Major_Version": "10",
            "Minor_Version": "1",
            "Ddr_Channel_Count": "4",
            "Ddr_Channel_Size": "16",
            "Feature_Bitmap": "0",
        },
    }
    board = {"NumBoards": "1", "Name": "", "Devices": [device]}
    return {
        "Version": {"FileVersion": "2.0", "ToolVersion": "2022.1"},
        "Platform": {"Name": "", "UnifiedPlatform": "true", "ExpandedPR": "false", "Boards": [board]},
    }
