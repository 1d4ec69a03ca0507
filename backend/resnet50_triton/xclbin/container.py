"""The xclbin2 (axlf) container: a header, a table of sections, the sections. Little-endian, as x86 lays it out.

Layouts and field names are those of XRT's `xclbin.h` (src/runtime_src/core/include); the numbers in `struct` strings
are its fields in order, `x` its padding. This file knows bytes only, kernel_info.py their meaning.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, BinaryIO, NamedTuple

from ..errors import BadXclbin

MAGIC = b"xclbin2\0"

# struct axlf up to m_header: m_magic, m_signature_length, reserved[28], m_keyBlock[256], m_uniqueId
_AXLF = struct.Struct("<8s i 28s 256s Q")
# struct axlf_header: m_length, m_timeStamp, m_featureRomTimeStamp, m_versionPatch, m_versionMajor, m_versionMinor,
# m_mode, m_actionMask, m_rom_uuid, m_platformVBNV, uuid, m_debug_bin, m_numSections
_AXLF_HEADER = struct.Struct("<QQQ H BB HH 16s 64s 16s 16s I 4x")
# struct axlf_section_header: m_sectionKind, m_sectionName, m_sectionOffset, m_sectionSize
_SECTION_HEADER = struct.Struct("<I 16s 4x QQ")
_HEADERS_SIZE = _AXLF.size + _AXLF_HEADER.size

# Before each table stands its m_count; the entries are aligned to 8 where they hold 64-bit fields.
_COUNT = struct.Struct("<i 4x")
_CONNECTION_COUNT = struct.Struct("<i")
_CLOCK_COUNT = struct.Struct("<H")
_MEM_DATA = struct.Struct("<BB 6x QQ 16s")  # m_type, m_used, m_size (KB), m_base_address, m_tag
_CONNECTION = struct.Struct("<iii")  # arg_index, m_ip_layout_index, mem_data_index
_IP_DATA = struct.Struct("<II Q 64s")  # m_type, properties, m_base_address, m_name
_CLOCK_FREQ = struct.Struct("<HB 5x 128s")  # m_freq_Mhz, m_type, m_unused, m_name

_XRT_VERSION = (2, 13, 466)  # m_versionMajor, m_versionMinor, m_versionPatch: the XRT whose layout this is


class Kind(IntEnum):
    """enum axlf_section_kind, the kinds used here."""

    BITSTREAM = 0
    EMBEDDED_METADATA = 2
    MEM_TOPOLOGY = 6
    CONNECTIVITY = 7
    IP_LAYOUT = 8
    CLOCK_FREQ_TOPOLOGY = 11
    GROUP_TOPOLOGY = 26
    GROUP_CONNECTIVITY = 27


class Mode(IntEnum):
    """enum XCLBIN_MODE"""

    FLAT = 0
    PR = 1
    TANDEM_STAGE2 = 2
    TANDEM_STAGE2_WITH_PR = 3
    HW_EMU = 4
    SW_EMU = 5


class MemType(IntEnum):
    """enum MEM_TYPE, those of a U250."""

    DDR4 = 1
    DRAM = 2


class Memory(NamedTuple):
    """struct mem_data"""

    name: str  # m_tag, "bank0" or "PLRAM[0]"; PYNQ drops the brackets
    type: int
    used: bool
    base_address: int
    size_bytes: int


class Connection(NamedTuple):
    """struct connection"""

    argument: int  # arg_index
    ip: int  # m_ip_layout_index
    memory: int  # mem_data_index


class Ip(NamedTuple):
    """struct ip_data"""

    name: str  # "kernel:instance"
    type: int
    base_address: int


class Clock(NamedTuple):
    """struct clock_freq"""

    name: str
    type: int  # enum CLOCK_TYPE: 1 data, 2 kernel, 3 system
    freq_mhz: int


IP_KERNEL = 1  # enum IP_TYPE


@dataclass(frozen=True)
class Section:
    kind: int
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class Xclbin:
    """An open container whose headers are sound: every section lies within the file."""

    file: BinaryIO
    name: str  # for messages
    uuid: str  # 32 hex digits, as PYNQ writes it
    platform: str  # m_platformVBNV
    mode: int
    sections: Sequence[Section]

    def find(self, *kinds: Kind) -> bytes:
        """The first section of the first of these kinds that there is. Raises BadXclbin if there is none."""
        for kind in kinds:
            for section in self.sections:
                if section.kind == kind:
                    self.file.seek(section.offset)
                    return self.file.read(section.size_bytes)
        wanted = " or ".join(kind.name for kind in kinds)
        found = ", ".join(_kind_name(section.kind) for section in self.sections) or "none"
        raise BadXclbin(f"{self.name}: section {wanted} is missing (sections found: {found})")


def open_xclbin(file: BinaryIO, name: str) -> Xclbin:
    """Read the headers of a container and check that they and every section lie within the file.

    Args:
        file: open for reading, seekable; kept by the result.
        name: what messages call it.

    Raises:
        BadXclbin: not an xclbin, truncated, or a section out of bounds.
    """
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    headers = file.read(_HEADERS_SIZE)
    magic = headers[: len(MAGIC)]
    if magic != MAGIC:
        raise BadXclbin(f"{name}: not an xclbin: it starts with {magic.hex(' ')}, expected {MAGIC.hex(' ')} (hex)")
    if len(headers) < _HEADERS_SIZE:
        raise BadXclbin(f"{name}: truncated: {size_bytes} bytes, the headers alone take {_HEADERS_SIZE}")
    length, _, _, _, _, _, mode, _, _, platform, uuid, _, count = _AXLF_HEADER.unpack_from(headers, _AXLF.size)
    if size_bytes < length:
        raise BadXclbin(f"{name}: truncated: {size_bytes} bytes, its header says {length}; copy it again")
    table_size = count * _SECTION_HEADER.size
    if _HEADERS_SIZE + table_size > size_bytes:
        raise BadXclbin(f"{name}: truncated: {size_bytes} bytes cannot hold the {count} sections its header announces")
    sections = []
    for kind, _, offset, section_size in _SECTION_HEADER.iter_unpack(file.read(table_size)):
        if offset + section_size > size_bytes:
            raise BadXclbin(
                f"{name}: section {_kind_name(kind)} is out of bounds: bytes {offset}..{offset + section_size} "
                f"of a file of {size_bytes}"
            )
        sections.append(Section(kind, offset, section_size))
    return Xclbin(file, name, uuid.hex(), _text(platform), mode, sections)


def build_xclbin(sections: Iterable[tuple[Kind, bytes]], platform: str, mode: Mode, timestamp: int) -> bytes:
    """The bytes of a container; its uuid is a digest of everything else, so equal contents give equal files.

    Args:
        sections: kind and content, in the order of the file.
        platform: the platform's VBNV, at most 63 characters.
        mode: what the xclbin is for.
        timestamp: seconds since 1970, of the build and of the platform's feature ROM.
    """
    sections = list(sections)
    table = bytearray()
    body = bytearray()
    start = _HEADERS_SIZE + len(sections) * _SECTION_HEADER.size
    for kind, content in sections:
        body += bytes(-(start + len(body)) % 8)  # XRT casts sections to structs, so each starts on 8 bytes
        table += _SECTION_HEADER.pack(kind, b"", start + len(body), len(content))
        body += content
    uuid = hashlib.sha256(b"%s %d %d %s%s" % (platform.encode(), mode, timestamp, table, body)).digest()[:16]
    major, minor, patch = _XRT_VERSION
    unsigned = -1  # m_signature_length
    axlf = _AXLF.pack(MAGIC, unsigned, b"\xff" * 28, b"\xff" * 256, timestamp)
    length = start + len(body)
    header = _AXLF_HEADER.pack(
        length, timestamp, timestamp, patch, major, minor, mode, 0, b"", platform.encode(), uuid, b"", len(sections)
    )
    return b"".join((axlf, header, table, body))


def pack_memories(memories: Sequence[Memory]) -> bytes:
    """Section MEM_TOPOLOGY."""
    entries = (_MEM_DATA.pack(m.type, m.used, m.size_bytes // 1024, m.base_address, m.name.encode()) for m in memories)
    return _COUNT.pack(len(memories)) + b"".join(entries)


def unpack_memories(data: bytes, name: str) -> list[Memory]:
    """Read section MEM_TOPOLOGY or GROUP_TOPOLOGY. Raises BadXclbin."""
    entries = _entries(_COUNT, _MEM_DATA, data, f"{name}: section MEM_TOPOLOGY")
    return [Memory(_text(tag), kind, bool(used), base, 1024 * size) for kind, used, size, base, tag in entries]


def pack_connections(connections: Sequence[Connection]) -> bytes:
    """Section CONNECTIVITY."""
    return _CONNECTION_COUNT.pack(len(connections)) + b"".join(_CONNECTION.pack(*entry) for entry in connections)


def unpack_connections(data: bytes, name: str) -> list[Connection]:
    """Read section CONNECTIVITY or GROUP_CONNECTIVITY. Raises BadXclbin."""
    entries = _entries(_CONNECTION_COUNT, _CONNECTION, data, f"{name}: section CONNECTIVITY")
    return [Connection(*entry) for entry in entries]


def pack_ips(ips: Sequence[Ip]) -> bytes:
    """Section IP_LAYOUT; properties 0 mean no interrupt and the protocol AP_CTRL_HS."""
    entries = (_IP_DATA.pack(ip.type, 0, ip.base_address, ip.name.encode()) for ip in ips)
    return _COUNT.pack(len(ips)) + b"".join(entries)


def unpack_ips(data: bytes, name: str) -> list[Ip]:
    """Read section IP_LAYOUT. Raises BadXclbin."""
    entries = _entries(_COUNT, _IP_DATA, data, f"{name}: section IP_LAYOUT")
    return [Ip(_text(ip), kind, base) for kind, _, base, ip in entries]


def pack_clocks(clocks: Sequence[Clock]) -> bytes:
    """Section CLOCK_FREQ_TOPOLOGY."""
    entries = (_CLOCK_FREQ.pack(clock.freq_mhz, clock.type, clock.name.encode()) for clock in clocks)
    return _CLOCK_COUNT.pack(len(clocks)) + b"".join(entries)


def _entries(count: struct.Struct, entry: struct.Struct, data: bytes, where: str) -> list[tuple[Any, ...]]:
    if len(data) < count.size:
        raise BadXclbin(f"{where} has {len(data)} bytes, too few for its count")
    (announced,) = count.unpack_from(data)
    held = (len(data) - count.size) // entry.size
    if not 0 <= announced <= held:
        raise BadXclbin(f"{where} announces {announced} entries and has room for {held}")
    end = count.size + announced * entry.size
    return list(entry.iter_unpack(data[count.size : end]))


def _text(field: bytes) -> str:
    """A C string in a fixed field; bytes that are not UTF-8 show as escapes."""
    return field.partition(b"\0")[0].decode(errors="backslashreplace")


def _kind_name(kind: int) -> str:
    return Kind(kind).name if kind in Kind._value2member_map_ else str(kind)
