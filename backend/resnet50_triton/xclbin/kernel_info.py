"""Reads what an xclbin says about the resnet50 kernel, and writes the xclbins that software cards load.

A software xclbin is an xclbin like that of a real card, for the same platform and with the same kernel signature,
so that PYNQ reads it as it reads any other. Three things differ:

- BITSTREAM holds the network's parameters (`Network.to_bytes()`) instead of an FPGA configuration;
- the marker: the kernel's core in EMBEDDED_METADATA has target="software" (Vitis writes "bitstream", "hw_em", "csim");
- the header's mode is SW_EMU, so that nothing takes the file for an FPGA's.

The two variants of the kernel are told apart by the C type of its argument `out`: the published one returns
`ap_uint<32>*` (five class ids an image), the one without LabelSelect `int*` (1000 accumulators).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal
from xml.etree import ElementTree

from ..errors import BadXclbin
from ..files import write_atomically
from ..network.parameters import Network
from . import u250
from .container import (
    IP_KERNEL,
    Ip,
    Kind,
    Memory,
    Mode,
    Xclbin,
    build_xclbin,
    open_xclbin,
    pack_clocks,
    pack_connections,
    pack_ips,
    pack_memories,
    unpack_connections,
    unpack_ips,
    unpack_memories,
)

KernelVariant = Literal["logits", "top5"]

KERNEL = "resnet50"
# Name and register offset of each argument, in the order of the call (compile/kernel.xml of Xilinx/ResNet50-PYNQ).
ARGUMENTS = (("in", 0x10), ("out", 0x1C), ("weightsmem", 0x28), ("numReps", 0x34))
OUT_TYPES: Mapping[KernelVariant, str] = {"logits": "int*", "top5": "ap_uint<32>*"}

_TARGETS = {
    Mode.FLAT: "hw",
    Mode.PR: "hw",
    Mode.TANDEM_STAGE2: "hw",
    Mode.TANDEM_STAGE2_WITH_PR: "hw",
    Mode.HW_EMU: "hw_emu",
    Mode.SW_EMU: "sw_emu",
}
_SOFTWARE = "software"
_ZIP_MAGIC = b"PK\x03\x04"  # a net.npz is a zip archive; no FPGA configuration starts like one


@dataclass(frozen=True)
class KernelInfo:
    """What an xclbin with the resnet50 kernel says about itself."""

    path: Path
    uuid: str  # 32 hex digits, equal to PYNQ's
    platform: str  # VBNV, "xilinx_u250_xdma_201830_2"
    target: str  # "software", "hw", "hw_emu" or "sw_emu"
    kernel: KernelVariant  # what `out` receives
    kernel_name: str  # the instance, which is the attribute of the overlay: "resnet50_1"
    memories: Sequence[Memory]
    banks: Mapping[str, Memory]  # the memory that each pointer argument needs: "in", "out", "weightsmem"
    _bitstream: bytes = field(default=b"", repr=False)

    def network_bytes(self) -> bytes:
        """The network's parameters, still compressed: the argument of `Network.from_bytes`.

        Raises:
            BadXclbin: the xclbin is for hardware, or its BITSTREAM section holds no network.
        """
        if self.target != _SOFTWARE:
            raise BadXclbin(
                f"{self.path}: no network in BITSTREAM: this xclbin is for target {self.target}, a software card needs "
                "one made by 'resnet50-pynq build-xclbin', and this one an Alveo, as '--card xrt:0'"
            )
        if not self._bitstream.startswith(_ZIP_MAGIC):
            raise BadXclbin(
                f"{self.path}: no network in BITSTREAM: it has {len(self._bitstream)} bytes and starts with '"
                f"{self._bitstream[:4].hex(' ')}', expected '{_ZIP_MAGIC.hex(' ')}' (hex); "
                "make the xclbin again with 'resnet50-pynq build-xclbin'"
            )
        return self._bitstream


def read_xclbin(path: str | Path) -> KernelInfo:
    """Read what an xclbin says about its kernel; the network is not decompressed.

    Args:
        path: an xclbin, for hardware or for software cards.

    Raises:
        BadXclbin: the file cannot be read, is not a sound xclbin, or has no resnet50 kernel of the known layout.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except OSError as error:
        raise BadXclbin(f"cannot read xclbin {path}: {error.strerror or error}") from error


def software_xclbin(network: Network, kernel: KernelVariant = "logits") -> bytes:
    """The bytes of a software xclbin; equal networks give equal bytes.

    Args:
        network: the parameters that a card programmed with it computes with.
        kernel: what it returns, 1000 accumulators ("logits") or five class ids ("top5") an image.
    """
    out = OUT_TYPES[kernel].replace("<", "&lt;")
    sections = (
        (Kind.BITSTREAM, network.to_bytes()),
        (Kind.MEM_TOPOLOGY, pack_memories(u250.MEMORIES)),
        (Kind.IP_LAYOUT, pack_ips([Ip(f"{KERNEL}:{KERNEL}_1", IP_KERNEL, u250.KERNEL_ADDRESS)])),
        (Kind.CONNECTIVITY, pack_connections(u250.CONNECTIONS)),
        (Kind.CLOCK_FREQ_TOPOLOGY, pack_clocks(u250.CLOCKS)),
        (Kind.EMBEDDED_METADATA, u250.METADATA.format(out_type=out).encode()),
    )
    return build_xclbin(sections, u250.PLATFORM, Mode.SW_EMU, u250.FEATURE_ROM_TIME)


def write_xclbin(path: str | Path, network: Network, kernel: KernelVariant = "logits") -> None:
    """Write a software xclbin in one step: a reader sees the old file or the new one.

    Args:
        path: the file to write or replace.
        network: as for `software_xclbin`.
        kernel: as for `software_xclbin`.

    Raises:
        SetupError: the file cannot be written.
    """
    write_atomically(path, software_xclbin(network, kernel))


def _read(path: Path, file: BinaryIO) -> KernelInfo:
    xclbin = open_xclbin(file, str(path))
    metadata = _parse_metadata(xclbin)
    software, element = _find_kernel(metadata, path)
    variant = _variant(element, path)
    instance = element.find("instance")
    kernel_name = "" if instance is None else instance.get("name", "")
    if not kernel_name:
        raise BadXclbin(f"{path}: kernel {KERNEL} has no instance in EMBEDDED_METADATA")
    memories = unpack_memories(xclbin.find(Kind.MEM_TOPOLOGY, Kind.GROUP_TOPOLOGY), xclbin.name)
    return KernelInfo(
        path=path,
        uuid=xclbin.uuid,
        platform=xclbin.platform,
        target=_SOFTWARE if software else _target(xclbin),
        kernel=variant,
        kernel_name=kernel_name,
        memories=tuple(memories),
        banks=_banks(xclbin, kernel_name, memories),
        # A hardware bitstream is tens of megabytes, which are not needed here.
        _bitstream=xclbin.find(Kind.BITSTREAM) if software else b"",
    )


def _parse_metadata(xclbin: Xclbin) -> ElementTree.Element:
    data = xclbin.find(Kind.EMBEDDED_METADATA)
    try:
        return ElementTree.fromstring(data.decode())  # PYNQ decodes it so, whatever encoding it declares
    except (ElementTree.ParseError, ValueError) as error:
        raise BadXclbin(f"{xclbin.name}: section EMBEDDED_METADATA is not XML ({error})") from error


def _find_kernel(metadata: ElementTree.Element, path: Path) -> tuple[bool, ElementTree.Element]:
    """Whether the kernel is for software cards, and its element."""
    names = []
    for core in metadata.findall("platform/device/core"):
        for kernel in core.findall("kernel"):
            if kernel.get("name") == KERNEL:
                return core.get("target") == _SOFTWARE, kernel
            names.append(kernel.get("name", "(no name)"))
    raise BadXclbin(f"{path}: no kernel named {KERNEL} (kernels found: {', '.join(names) or 'none'})")


def _variant(kernel: ElementTree.Element, path: Path) -> KernelVariant:
    """Hold the kernel's arguments to the known layout; which variant it is."""
    try:
        arguments = sorted(
            (int(arg.get("id", ""), 0), arg.get("name", ""), int(arg.get("offset", ""), 0))
            for arg in kernel.findall("arg")
        )
    except ValueError as error:
        raise BadXclbin(
            f"{path}: an argument of kernel {KERNEL} has an id or offset that is no number ({error})"
        ) from error
    found = tuple((name, offset) for _, name, offset in arguments)
    ids = [number for number, _, _ in arguments]
    if found != ARGUMENTS or ids != list(range(len(ARGUMENTS))):
        raise BadXclbin(
            f"{path}: kernel {KERNEL} has the arguments {_layout(found)} with ids {ids}, expected {_layout(ARGUMENTS)} "
            f"with ids {list(range(len(ARGUMENTS)))}"
        )
    out_type = next(arg.get("type", "") for arg in kernel.findall("arg") if arg.get("name") == "out")
    for variant, known in OUT_TYPES.items():
        if out_type.replace(" ", "") == known:
            return variant
    known_types = " or ".join(f"'{known}' ({variant})" for variant, known in OUT_TYPES.items())
    raise BadXclbin(f"{path}: argument out of kernel {KERNEL} has type '{out_type}', expected {known_types}")


def _layout(arguments: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name} at 0x{offset:02X}" for name, offset in arguments) or "(none)"


def _target(xclbin: Xclbin) -> str:
    if xclbin.mode not in _TARGETS:
        raise BadXclbin(f"{xclbin.name}: header mode is {xclbin.mode}, expected {min(_TARGETS)}..{max(_TARGETS)}")
    return _TARGETS[Mode(xclbin.mode)]


def _banks(xclbin: Xclbin, kernel_name: str, memories: Sequence[Memory]) -> Mapping[str, Memory]:
    ips = unpack_ips(xclbin.find(Kind.IP_LAYOUT), xclbin.name)
    full_name = f"{KERNEL}:{kernel_name}"
    index = next((i for i, ip in enumerate(ips) if ip.type == IP_KERNEL and ip.name == full_name), None)
    if index is None:
        found = ", ".join(ip.name for ip in ips) or "none"
        raise BadXclbin(f"{xclbin.name}: {full_name} is not in section IP_LAYOUT (found: {found})")
    banks = {}
    for connection in unpack_connections(xclbin.find(Kind.CONNECTIVITY, Kind.GROUP_CONNECTIVITY), xclbin.name):
        if connection.ip != index or not 0 <= connection.argument < len(ARGUMENTS):
            continue
        if not 0 <= connection.memory < len(memories):
            raise BadXclbin(f"{xclbin.name}: section CONNECTIVITY names memory {connection.memory} of {len(memories)}")
        banks[ARGUMENTS[connection.argument][0]] = memories[connection.memory]  # the last one counts, as in PYNQ
    missing = [name for name, _ in ARGUMENTS[:3] if name not in banks]
    if missing:
        raise BadXclbin(f"{xclbin.name}: section CONNECTIVITY connects no memory to argument {', '.join(missing)}")
    return banks
