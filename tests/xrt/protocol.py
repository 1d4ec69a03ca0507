"""The wire between XRT's hw_emu driver and the process that plays the device, as XRT 2.13 uses it for one kernel.

Each message is a header (a protobuf message of fixed size) and a body, both in protobuf's wire format; the messages are
those of XRT's `rpc_messages.proto`, the call numbers those of its `xcl_macros.h`.
"""

from __future__ import annotations

import socket
import struct
from enum import IntEnum
from typing import NamedTuple

# call_packet_info: 1: fixed64 size, 2: fixed32 xcl_api; of response_packet_info, XRT reads the first field only
_CALL_HEADER = struct.Struct("<BQBI")
_ANSWER_HEADER = struct.Struct("<BQ")
_SIZE_KEY, _CALL_KEY = 0x09, 0x15  # field number << 3 | wire type
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Call(IntEnum):
    """The calls that XRT makes here."""

    CLOSE = 1
    ALLOCATE = 4
    FREE = 5
    COPY_TO_DEVICE = 6
    COPY_FROM_DEVICE = 7
    WRITE_REGISTERS = 9
    READ_REGISTERS = 11
    DEBUG_MESSAGES = 19
    SET_ENVIRONMENT = 20


class Message(NamedTuple):
    """One call: its number, and the fields of its body by number (repeated ones: the last)."""

    call: int
    fields: dict[int, int | memoryview]

    def number(self, field: int) -> int:
        """A varint; 0 where the message leaves it out."""
        value = self.fields.get(field, 0)
        if not isinstance(value, int):
            raise TypeError(f"call {self.call}: field {field} is bytes, expected a number")
        return value

    def data(self, field: int) -> memoryview:
        """A byte string."""
        value = self.fields[field]
        if isinstance(value, int):
            raise TypeError(f"call {self.call}: field {field} is a number, expected bytes")
        return value


def receive(connection: socket.socket) -> Message:
    """Wait for a call. Raises EOFError when XRT's process has gone."""
    _, size, _, call = _CALL_HEADER.unpack(_receive_bytes(connection, _CALL_HEADER.size))
    return Message(call, _parse(_receive_bytes(connection, size)))


def answer(connection: socket.socket, body: bytes) -> None:
    """Send a call's answer."""
    connection.sendall(_ANSWER_HEADER.pack(_SIZE_KEY, len(body)) + body)


def close_message() -> bytes:
    """The call CLOSE without a body, which ends XRT's thread for accesses from the device to the host's memory."""
    return _CALL_HEADER.pack(_SIZE_KEY, 0, _CALL_KEY, Call.CLOSE)


def encode(*fields: int | bytes | memoryview) -> bytes:
    """A body with these fields, numbered from 1."""
    parts: list[bytes | memoryview] = []
    for number, value in enumerate(fields, 1):
        if isinstance(value, int):
            parts += [_varint(number << 3 | _VARINT), _varint(value)]
        else:
            parts += [_varint(number << 3 | _BYTES), _varint(len(value)), value]
    return b"".join(parts)


def _receive_bytes(connection: socket.socket, size: int) -> memoryview:
    view = memoryview(bytearray(size))
    got = 0
    while got < size:
        count = connection.recv_into(view[got:])
        if not count:
            raise EOFError
        got += count
    return view


def _parse(body: memoryview) -> dict[int, int | memoryview]:
    fields: dict[int, int | memoryview] = {}
    place = 0
    while place < len(body):
        key, place = _read_varint(body, place)
        wire_type = key & 7
        if wire_type == _VARINT:
            fields[key >> 3], place = _read_varint(body, place)
            continue
        if wire_type == _BYTES:
            size, place = _read_varint(body, place)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}[wire_type]
        fields[key >> 3] = body[place : place + size]
        place += size
    return fields


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _read_varint(body: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place
