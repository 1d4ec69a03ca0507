"""Any bytes give pixels or BadImage, nothing else."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from resnet50_pynq.decode import decode_image
from resnet50_pynq.errors import BadImage


def encoded(form: str = "JPEG", mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> bytes:
    ramp = np.linspace(0, 255, size[0] * size[1] * 3).astype(np.uint8).reshape(size[1], size[0], 3)
    buffer = io.BytesIO()
    Image.fromarray(ramp).convert(mode).save(buffer, form)
    return buffer.getvalue()


def test_channels_are_blue_green_red() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (250, 120, 10)).save(buffer, "PNG")
    pixels = decode_image(buffer.getvalue())
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == [10, 120, 250]).all()


def test_out_is_filled() -> None:
    out = np.zeros((224, 224, 3), np.uint8)
    assert decode_image(encoded(), out) is out
    assert out.any()


@pytest.mark.parametrize(
    ("form", "mode"), [("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "P"), ("PNG", "RGBA"), ("GIF", "P"), ("BMP", "RGB")]
)
def test_formats_and_modes(form: str, mode: str) -> None:
    assert decode_image(encoded(form, mode)).shape == (224, 224, 3)


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes"),
        (b"x", "not an image"),
        (encoded()[:-60], "damaged"),
        (png_header(60000, 60000), "limit"),
        (bytes(33 << 20), "limit"),
    ],
    ids=["empty", "one byte", "truncated", "bomb", "too long"],
)
def test_what_is_no_image_is_named(data: bytes, words: str) -> None:
    with pytest.raises(BadImage, match=words):
        decode_image(data)


@given(st.data())
def test_mutated_files_give_pixels_or_bad_image(data: st.DataObject) -> None:
    original = bytearray(data.draw(st.sampled_from([encoded("JPEG"), encoded("PNG"), encoded("GIF", "P")])))
    for _ in range(data.draw(st.integers(1, 8))):
        original[data.draw(st.integers(0, len(original) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = decode_image(bytes(original))
    except BadImage:
        return
    assert pixels.shape == (224, 224, 3)
