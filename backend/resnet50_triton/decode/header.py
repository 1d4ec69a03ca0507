"""Reads the header of an image and checks it against the limits, before a decoder is chosen."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import simplejpeg

from ..errors import BadImage
from .options import DecodeOptions

JPEG_START = b"\xff\xd8\xff"

# A multi-scan JPEG visits every coefficient once a scan: a small file with thousands of scans takes minutes. Encoders
# write about 10; libjpeg-turbo's own tools speak of 500 as far beyond any honest file.
MAX_SCANS = 100
# Encoders write some dozens of segments, a large ICC profile and extended XMP some hundreds.
MAX_SEGMENTS = 10_000
# Between the segments of a valid JPEG there is nothing; libjpeg skips what is there.
MAX_FILL_BYTES = 65_536

# Pillow takes three to four times as long for a pixel as libjpeg-turbo (PNG, WebP; 2026-11-25, this file's tests).
_PILLOW_WORK_PER_PIXEL = 4

_SOS, _EOI, _APP1 = 0xDA, 0xD9, 0xE1
_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # DHT, JPG and DAC lie between the frame headers
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)  # Huffman, arithmetic; differential or not
_WITHOUT_LENGTH = (0x01, 0xD8)
# The next marker: not a stuffed 0, not a fill byte, not a restart marker, of which a scan has many.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")


@dataclass(frozen=True)
class ImageHeader:
    """One image before it is decoded.

    Args:
        is_fast: libjpeg-turbo's simple interface takes it; everything else is for Pillow.
        work: how long decoding takes at most, in pixels of a JPEG with one scan; 0 where the header does not tell.
        exif: the EXIF data of a JPEG.
    """

    is_fast: bool
    work: int
    exif: bytes | None = None


def read_header(data: bytes, options: DecodeOptions) -> ImageHeader:
    """Read an image's header and refuse what is over the limits.

    Raises:
        BadImage: no bytes, too many, no pixels, too many, too many scans or segments.
    """
    if len(data) == 0:
        raise BadImage("image has 0 bytes: send one encoded image (JPEG, PNG, ...)")
    if len(data) > options.max_encoded_bytes:
        raise BadImage(f"image has {len(data)} bytes, the limit is {options.max_encoded_bytes}: send a smaller file")
    if data.startswith(JPEG_START):
        return _read_jpeg_header(data, options)
    size = _stated_size(data)
    if size is None:
        return ImageHeader(is_fast=False, work=0)
    check_size(*size, options.max_pixels)
    return ImageHeader(is_fast=False, work=_PILLOW_WORK_PER_PIXEL * size[0] * size[1])


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse an image by the size its header states.

    Raises:
        BadImage: no pixels, or more than the limit.
    """
    if width < 1 or height < 1:
        raise BadImage(f"image is {width}x{height} pixels: there is nothing to classify")
    if width * height > max_pixels:
        raise BadImage(
            f"image is {width}x{height} pixels, {width * height} in all; the limit is {max_pixels}: send a smaller one"
        )


def _read_jpeg_header(data: bytes, options: DecodeOptions) -> ImageHeader:
    pixels, scans, components, progressive, exif = 0, 0, 0, False, None
    for marker, start, end in _segments(data):
        if marker == _SOS:
            scans += 1
            if scans > MAX_SCANS:
                raise BadImage(f"jpeg has more than {MAX_SCANS} scans, the limit: save it with fewer")
            if not progressive and data[start + 2] >= components:
                break  # all components in one scan: libjpeg reads no other
        elif marker in _SOF and end - start >= 8:
            height, width, components = struct.unpack_from(">HHB", data, start + 3)
            check_size(width, height, options.max_pixels)
            pixels, progressive = max(pixels, width * height), progressive or marker in _PROGRESSIVE
        elif marker == _APP1 and exif is None and data.startswith(b"Exif\0\0", start + 2):
            exif = data[start + 2 : end]
    if not scans:
        raise BadImage(f"jpeg of {len(data)} bytes is damaged: it ends before its first scan")
    try:
        simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return ImageHeader(is_fast=False, work=_PILLOW_WORK_PER_PIXEL * pixels * max(1, scans), exif=exif)
    return ImageHeader(is_fast=True, work=pixels * max(1, scans), exif=exif)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The marker of each segment up to the end of the image, where its length is, and where it ends.

    What follows a marker is skipped as libjpeg does, so that there are no more scans than are found here.
    """
    position = 2
    end = MAX_FILL_BYTES  # until there is a scan, whose data may be long
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, position, end)
        if found is None or found[1][0] == _EOI:
            return
        marker, position = found[1][0], found.end()
        if marker not in _WITHOUT_LENGTH:
            start = position
            position += max(2, int.from_bytes(data[start : start + 2], "big"))
            if position > len(data):
                return  # cut off
            yield marker, start, position
            end = len(data) if marker == _SOS else max(end, position + MAX_FILL_BYTES)
    raise BadImage(f"jpeg has more than {MAX_SEGMENTS} segments, the limit: save it without its metadata")


def _stated_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as the header of a PNG, GIF, BMP or WebP states them; None where there is no such header."""
    if len(data) < 30:
        return None
    if data.startswith(b"\x89PNG"):
        width, height = struct.unpack_from(">II", data, 16)
    elif data.startswith(b"GIF8"):
        width, height = struct.unpack_from("<HH", data, 6)
    elif data.startswith(b"BM") and data[14] != 12:  # 12: the header of OS/2, whose sizes of 16 bits Pillow checks
        width, height = struct.unpack_from("<ii", data, 18)
        height = abs(height)  # negative where the rows run from the top
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        width, height = _webp_size(data)
    else:
        return None
    return width, height


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF
