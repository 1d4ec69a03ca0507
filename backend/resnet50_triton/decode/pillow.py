"""Everything that is not a plain JPEG: PNG, WebP, BMP, GIF (of animations the first frame) and odd JPEGs, by Pillow."""

from __future__ import annotations

import ast
import io
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from ..errors import BadImage
from .header import check_size
from .options import DecodeOptions
from .orientation import read_orientation, upright

# Pillow reads dozens of formats more, some by starting other programs (EPS): only these are offered hostile bytes.
# Loaded here, once: Pillow would load all of its plugins in each helper, at its first WebP.
PLUGINS = (JpegImagePlugin, PngImagePlugin, WebPImagePlugin, BmpImagePlugin, GifImagePlugin)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")

# Of a PNG: Pillow unpacks them and refuses files where that gives more than 1 MB; nothing here reads them.
_PNG_START = b"\x89PNG\r\n\x1a\n"
_METADATA = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")

_BYTES = re.compile(r"""\bb('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")

# 5 and 6 bits become 8 in OpenCV by a shift, so that white is 248, and in Pillow by scaling, so that it is 255.
_FIVE_BITS = np.array([(v * 31 + 127) // 255 << 3 for v in range(256)], np.uint8)
_SIX_BITS = np.array([(v * 63 + 127) // 255 << 2 for v in range(256)], np.uint8)
_BITS = {"BGR;15": (_FIVE_BITS, _FIVE_BITS, _FIVE_BITS), "BGR;16": (_FIVE_BITS, _SIX_BITS, _FIVE_BITS)}


def decode_other(data: bytes, options: DecodeOptions) -> NDArray[np.uint8]:
    """Decode an image of any of FORMATS; alpha is dropped, 16 bits become their upper 8, as OpenCV does.

    Returns:
        uint8 (H, W, 3), R, G, B (Pillow's order: to exchange 224x224 pixels later is cheaper), upright.

    Raises:
        BadImage: none of these formats, too large, or damaged.
    """
    try:
        with Image.open(io.BytesIO(_without_metadata(data)), formats=FORMATS) as image:
            width, height = image.size  # a GIF's first frame may exceed the size in its header
            check_size(width, height, options.max_pixels)
            raw_mode = _raw_mode(image)
            _load(image, options)
            pixels = _as_opencv(_rgb(image), raw_mode)
            exif = image.info.get("exif")
    except BadImage:
        raise
    except UnidentifiedImageError as error:
        raise BadImage(f"{_named(data)}, is not an image that can be read: send one of {', '.join(FORMATS)}") from error
    except Exception as error:
        # Pillow's plugins raise nearly anything on hostile bytes (struct.error, IndexError, SyntaxError, ...).
        raise BadImage(f"{_named(data)}, is damaged: {_in_hex(str(error))}") from error
    return upright(pixels, read_orientation(exif))


def _load(image: Image.Image, options: DecodeOptions) -> None:
    try:
        image.load()
    except OSError:
        if not options.accept_truncated:
            raise
        # Pillow keeps the rows it had decoded; without tiles left to read it takes them for the whole picture.
        # Its own switch for this, LOAD_TRUNCATED_IMAGES, would change it for the whole process.
        image.tile = []  # type: ignore[attr-defined]
        image.load()


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):  # 16 bit grey; Pillow's own conversion would clip it to white
        grey = (np.asarray(image).astype(np.int32) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _without_metadata(data: bytes) -> bytes:
    """`data`; of a PNG without the chunks that unpack to text or a colour profile."""
    if not data.startswith(_PNG_START) or not any(kind in data for kind in _METADATA):
        return data
    view, position = memoryview(data), len(_PNG_START)
    kept: list[bytes | memoryview[int]] = [_PNG_START]
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(view[position : position + 4], "big")  # length, kind, data, checksum
        if view[position + 4 : position + 8] not in _METADATA:
            kept.append(view[position:end])
        position = end
    kept.append(view[position:])
    return b"".join(kept)


def _raw_mode(image: Image.Image) -> str:
    """How the pixels lie in the file, in Pillow's words."""
    tile: Any = getattr(image, "tile", None)
    return str(tile[0][3][0]) if tile and isinstance(tile[0][3], tuple) else ""


def _as_opencv(pixels: NDArray[np.uint8], raw_mode: str) -> NDArray[np.uint8]:
    """`pixels` uint8 (H, W, 3), R, G, B, of 16 bits in the file as OpenCV has them."""
    if raw_mode not in _BITS:
        return pixels
    return np.stack([bits[pixels[:, :, i]] for i, bits in enumerate(_BITS[raw_mode])], axis=2)


def _named(data: bytes) -> str:
    return f"image of {len(data)} bytes, the first of them {data[:8].hex(' ')} (hex)"


def _in_hex(message: str) -> str:
    """A message of Pillow's with the bytes that it shows as Python does (b'IDAT') in hex, and no more than a line."""

    def hexed(found: re.Match[str]) -> str:
        try:
            return f"{ast.literal_eval(found[0]).hex(' ')} (hex)"
        except (ValueError, SyntaxError):  # the file's text, which only looks so
            return "(bytes)"

    return _BYTES.sub(hexed, message)[:200]
