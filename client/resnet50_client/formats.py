"""Formats that the server does not take, decoded here and sent as PNG: HEIC, AVIF, TIFF and more that Pillow reads."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from typing import TYPE_CHECKING

import numpy as np

from resnet50_client.errors import RequestRefused

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

# The names of files that the server decodes.
SERVER_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp"}
)
# What is decoded here, as Pillow calls it: how the data begin (TGA: end), and the names of files. Not all that Pillow
# opens: for EPS, for example, it would start Ghostscript.
DECODED_HERE = {
    "AVIF": (rb".{4}ftypavi[fs]", (".avif",)),
    "HEIF": (rb".{4}ftyp(?:hei[cxms]|hev[cx]|mif1|msf1)", (".heic", ".heif", ".hif")),
    "TIFF": (rb"II[*+]\0|MM\0[*+]", (".tif", ".tiff")),
    "JPEG2000": (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", (".jp2", ".j2k", ".jpx", ".jpf")),
    "PPM": (rb"P[1-6]\s", (".ppm", ".pgm", ".pbm", ".pnm")),
    "PSD": (rb"8BPS", (".psd",)),
    "ICO": (rb"\0\0\x01\0", (".ico",)),
    "PCX": (rb"\n[\0\x02\x03\x05]\x01", (".pcx",)),
    "SGI": (rb"\x01\xda", (".sgi",)),
    "DDS": (rb"DDS ", (".dds",)),
    "QOI": (rb"qoif", (".qoi",)),
    "TGA": (rb"(?!)", (".tga",)),
}
SUFFIXES = SERVER_SUFFIXES.union(*(suffixes for _, suffixes in DECODED_HERE.values()))
_BEGINNING = re.compile(b"|".join(b"(?P<%s>%s)" % (k.encode(), v[0]) for k, v in DECODED_HERE.items()), re.DOTALL)
_TGA_END = b"TRUEVISION-XFILE.\0"
_NEEDS = {"AVIF": "Pillow 11.3 or newer: pip install -U pillow", "HEIF": "pip install 'resnet50-client[heif]'"}
MAX_PIXELS = 64_000_000  # the server's own default
# A larger picture is halved until it is not: what the network sees is 224x224, and the server takes 32 MiB.
SENT_PIXELS = 4_000_000


def format_decoded_here(data: bytes) -> str | None:
    """Which of DECODED_HERE an encoded image is, by its first bytes; None for any other data."""
    found = _BEGINNING.match(data)
    return found.lastgroup if found else "TGA" if data.endswith(_TGA_END) else None


def open_picture(data: bytes) -> Picture:
    """Open an encoded image; no pixel is decoded yet.

    Raises:
        OSError: Pillow does not read it, or not this format without another package.
    """
    from PIL import Image  # slow to load, and only needed here

    if format_decoded_here(data) == "HEIF":
        with contextlib.suppress(ImportError):
            import pillow_heif

            pillow_heif.register_heif_opener()
    Image.init()
    known = [name for name in (*DECODED_HERE, "JPEG", "PNG", "GIF", "BMP", "WEBP") if name in Image.OPEN]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a format that this Pillow was built without
        return Image.open(io.BytesIO(data), formats=known)


def as_server_takes(data: bytes) -> tuple[bytes, str | None]:
    """An encoded image in a format that the server takes.

    Args:
        data: the image as its file has it.

    Returns:
        What to send, and the name of the format that was decoded here. Images that the server takes, and data that are
        no image, are returned as they are, with None: the server says what is wrong with them.

    Raises:
        RequestRefused: it cannot be decoded: damaged, too large, of numbers that are no 8 or 16 bits, or for want of a
            package.
    """
    kind = format_decoded_here(data)
    if kind is None:
        return data, None
    from PIL import Image, ImageOps, UnidentifiedImageError, features

    try:
        picture = open_picture(data)
    except UnidentifiedImageError as error:
        is_read = kind in Image.OPEN and (kind != "AVIF" or features.check("avif"))
        fix = ": it is damaged" if is_read else f"; that needs {_NEEDS.get(kind, 'another Pillow')}"
        raise RequestRefused(f"{kind}, which the server does not take, cannot be decoded here{fix}") from error
    except Image.DecompressionBombError as error:
        raise RequestRefused(f"{kind} of {len(data)} bytes is too large: {error}") from error
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise RequestRefused(f"{kind} is {width}x{height} pixels; the limit is {MAX_PIXELS}: send a smaller one")
    try:
        rgb = _eight_bits(ImageOps.exif_transpose(picture), kind)
        while rgb.width * rgb.height > SENT_PIXELS:
            rgb = rgb.reduce(2)
        return png(rgb), kind
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise RequestRefused(f"{kind} of {len(data)} bytes cannot be decoded: {error}") from error


def png(picture: Picture) -> bytes:
    """The pixels without loss, quickly rather than small."""
    buffer = io.BytesIO()
    (picture if picture.mode in ("L", "RGB") else picture.convert("RGB")).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _eight_bits(picture: Picture, kind: str) -> Picture:
    """The picture in RGB with 8 bits; of 16 the upper ones, as in OpenCV."""
    from PIL import Image

    if picture.mode == "F":
        raise RequestRefused(f"{kind} has floating-point pixels: save it with 8 or 16 bits")
    if picture.mode.startswith("I"):
        deep = np.asarray(picture)
        if deep.min() < 0 or deep.max() > 65535:
            raise RequestRefused(f"{kind} has pixels of more than 16 bits: save it with 8 or 16")
        picture = Image.fromarray((deep >> 8).astype(np.uint8))
    return picture.convert("RGB")
