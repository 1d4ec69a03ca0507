"""`decode_image`: what each mode is exact to, the kinds of files, the limits. Any bytes give pixels or BadImage."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from fuzz.corpus import (
    bmp_of_16_bits,
    encode,
    exif_entry,
    images,
    others,
    packed,
    picture,
    png_chunk,
    png_with,
    scan_bomb,
    with_orientation,
)
from PIL import Image, ImageOps
from resnet50_triton.decode import DecodeOptions, decode_image
from resnet50_triton.decode.orientation import read_orientation
from resnet50_triton.errors import BadImage, BadParameter

IMAGES = images()
JPEG = IMAGES["jpeg 4:2:0"]
# Those that OpenCV does not read, or reads otherwise: it does not turn WebP, and its GIF reader is newer than 4.11.
NOT_AS_OPENCV = {"gif", "gif animated", "webp animated"}


def opencv(data: bytes) -> np.ndarray:
    """The reference of `stretch`."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return cv2.resize(image, (224, 224), interpolation=cv2.INTER_LINEAR)


def torchvision(image: Image.Image) -> np.ndarray:
    """The reference of `center_crop`: Resize(256) and CenterCrop(224) of torchvision's transforms on a PIL image."""
    width, height = image.size
    size = (256, int(256 * height / width)) if width <= height else (int(256 * width / height), 256)
    image = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    left, top = (round((side - 224) / 2.0) for side in size)
    return np.asarray(image.crop((left, top, left + 224, top + 224)))[:, :, ::-1]


@pytest.mark.parametrize("kind", sorted(set(IMAGES) - NOT_AS_OPENCV))
def test_stretch_equals_opencv(kind: str) -> None:
    assert np.array_equal(decode_image(IMAGES[kind]), opencv(IMAGES[kind]))


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 2), (224, 224), (225, 223), (448, 448), (1000, 37), (40000, 2)])
def test_stretch_equals_opencv_at_every_size(size: tuple[int, int]) -> None:
    data = encode(picture().resize(size), "PNG")
    assert np.array_equal(decode_image(data), opencv(data))


@pytest.mark.parametrize("size", [(256, 256), (224, 224), (255, 257), (640, 480), (480, 641), (60, 47), (1000, 30)])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_center_crop_equals_torchvision(size: tuple[int, int], form: str) -> None:
    data = encode(picture().resize(size), form)
    pixels = decode_image(data, options=DecodeOptions(mode="center_crop"))
    assert np.array_equal(pixels, torchvision(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("kind", ["gif", "gif animated", "webp animated", "png animated"])
def test_of_animations_the_first_frame(kind: str) -> None:
    first = np.asarray(Image.open(io.BytesIO(IMAGES[kind])).convert("RGB"))[:, :, ::-1]
    assert np.array_equal(decode_image(IMAGES[kind]), cv2.resize(first, (224, 224)))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_the_picture(form: str, orientation: int) -> None:
    lossless = {"lossless": True} if form == "WEBP" else {}
    data = encode(picture(), form, exif=with_orientation(orientation), **lossless)
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(decode_image(data), cv2.resize(np.asarray(turned)[:, :, ::-1], (224, 224)))


def test_damaged_orientation_is_no_orientation() -> None:
    good = with_orientation(6).tobytes()
    assert read_orientation(good) == 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for length in range(len(good) - 4):  # behind the entry lies only where the next directory would be
            assert read_orientation(good[:length]) == 1
    assert read_orientation(None) == 1
    assert read_orientation(with_orientation(9).tobytes()) == 1


EXIF_FORMS = {3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I"}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", range(14))
def test_orientation_of_any_type_is_as_pillows(kind: int, order: str) -> None:
    """SHORT is the standard's; writers use LONG and others."""
    for count in (0, 1, 2, 3, 5):
        for value in (0, 1, 3, 6, 8, 9):
            form = EXIF_FORMS.get(kind, "B")
            numbers = [value] if len(form) == 1 else [2 * value, 2]
            exif = exif_entry(order, kind, count, struct.pack(order + form, *numbers) * count)
            data = JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + JPEG[2:]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                turned = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))[:, :, ::-1]
            assert np.array_equal(decode_image(data), cv2.resize(turned, (224, 224))), (count, value)


@pytest.mark.parametrize("chunk", ["zTXt", "iTXt", "iCCP", "tEXt"])
def test_a_pngs_metadata_are_not_unpacked(chunk: str) -> None:
    """Pillow refuses more than 1 MB, and 64 MB in all; OpenCV does not look at them."""
    content = {
        "zTXt": b"Comment\0\0" + packed(2 << 20),
        "iTXt": b"XML:com.adobe.xmp\0\1\0\0\0" + packed(2 << 20),
        "iCCP": b"profile\0\0" + packed(2 << 20),
        "tEXt": b"Comment\0" + bytes(65 << 20),
    }[chunk]
    data = png_with(png_chunk(chunk.encode(), content))
    assert np.array_equal(decode_image(data, options=DecodeOptions(max_encoded_bytes=100 << 20)), opencv(data))


def test_a_bomb_of_many_text_chunks_costs_nothing() -> None:
    data = png_with(png_chunk(b"zTXt", b"Comment\0\0" + packed(1 << 20)) * 2000)
    start = time.monotonic()
    assert np.array_equal(decode_image(data), decode_image(png_with(b"")))
    assert time.monotonic() - start < 10  # decoding it would take minutes


@pytest.mark.parametrize("from_top", [False, True])
@pytest.mark.parametrize("kind", ["555", "555 masks", "565"])
def test_bmp_of_16_bits_equals_opencv(kind: str, from_top: bool) -> None:
    data = bmp_of_16_bits(kind, from_top)
    assert np.array_equal(decode_image(data), opencv(data))


def test_the_shared_cases_are_as_opencv_or_pillow_has_them(shared: Path) -> None:
    base = (shared / "cases" / "images" / "base.jpg").read_bytes()
    turned = (shared / "cases" / "images" / "ori_long_le.jpg").read_bytes()
    assert not np.array_equal(decode_image(base), decode_image(turned))
    right = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(turned))))[:, :, ::-1]
    assert np.array_equal(decode_image(turned), cv2.resize(right, (224, 224)))
    for name in ("ztxt2M.png", "itxt2M.png", "b555.bmp", "b565.bmp", "base.jpg"):
        data = (shared / "cases" / "images" / name).read_bytes()
        assert np.array_equal(decode_image(data), opencv(data)), name


BROKEN_PNG = png_with(struct.pack(">I", 0) + b"\xff\xfe'\"" + bytes(4))  # Pillow names the chunk


@pytest.mark.parametrize("data", [b"\x89PNG'\"\xc3", bytes(range(256)), b"GIF89a" + b"\7" * 50, b"'; DROP", BROKEN_PNG])
def test_messages_show_bytes_in_hex(data: bytes) -> None:
    with pytest.raises(BadImage) as caught:
        decode_image(data)
    assert f"the first of them {data[:8].hex(' ')} (hex)" in str(caught.value)
    assert not re.search(r"b'|b\"|\\x", str(caught.value))


def test_channels_are_blue_green_red() -> None:
    pixels = decode_image(encode(Image.new("RGB", (64, 48), (250, 120, 10)), "PNG"))
    assert pixels.dtype == np.uint8
    assert (pixels == [10, 120, 250]).all()


def test_alpha_is_dropped_and_16_bits_become_their_upper_8() -> None:
    clear = Image.new("RGBA", (20, 10), (250, 120, 10, 0))
    assert (decode_image(encode(clear, "PNG")) == [10, 120, 250]).all()
    grey = cv2.imencode(".png", np.full((10, 20), 0x42FF, np.uint16))[1].tobytes()
    assert (decode_image(grey) == 0x42).all()


def test_out_is_filled() -> None:
    out = np.zeros((3, 224, 224, 3), np.uint8)
    for options in (DecodeOptions(), DecodeOptions(mode="center_crop")):
        out[:] = 0
        assert np.shares_memory(decode_image(JPEG, out[1], options), out)
        assert out[1].any()
        assert not out[0].any()
        assert not out[2].any()


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def webp(kind: bytes, rest: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 100) + b"WEBP" + kind + struct.pack("<I", 80) + rest + bytes(80 - len(rest))


def jpeg_of_size(width: int, height: int) -> bytes:
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


BOMBS = {
    "png": png_header(60000, 60000),
    "jpeg": jpeg_of_size(65500, 65500),
    "gif": b"GIF89a" + struct.pack("<HH", 60000, 60000) + bytes(30),
    "bmp": b"BM" + bytes(12) + struct.pack("<Iii", 40, 60000, -60000) + bytes(30),
    "webp": webp(b"VP8 ", b"\x30\x01\x00\x9d\x01\x2a" + struct.pack("<HH", 16383, 16383)),
    "webp lossless": webp(b"VP8L", b"\x2f" + struct.pack("<I", 0x3FFF | 0x3FFF << 14)),
    "webp extended": webp(b"VP8X", bytes(4) + b"\xff\xff\xff\xff\xff\x00"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_are_refused_from_their_header(kind: str) -> None:
    with pytest.raises(BadImage, match=r"image is \d{5,8}x\d{5} pixels, \d{9,13} in all; the limit is 64000000"):
        decode_image(BOMBS[kind])


def test_the_limit_of_pixels_is_exact() -> None:
    data = encode(Image.new("RGB", (100, 50)), "PNG")
    decode_image(data, options=DecodeOptions(max_pixels=5000))
    with pytest.raises(BadImage, match="the limit is 4999"):
        decode_image(data, options=DecodeOptions(max_pixels=4999))


def test_the_limit_of_bytes_is_exact() -> None:
    decode_image(JPEG, options=DecodeOptions(max_encoded_bytes=len(JPEG)))
    with pytest.raises(BadImage, match=f"image has {len(JPEG)} bytes, the limit is {len(JPEG) - 1}"):
        decode_image(JPEG, options=DecodeOptions(max_encoded_bytes=len(JPEG) - 1))


def test_center_crop_of_a_thread_is_refused_before_it_is_blown_up() -> None:
    data = encode(Image.new("RGB", (40000, 1)), "PNG")
    with pytest.raises(BadImage, match="too narrow for center_crop"):
        decode_image(data, options=DecodeOptions(mode="center_crop"))


def test_a_progressive_jpeg_with_endless_scans_is_refused() -> None:
    data = IMAGES["jpeg progressive"]
    last = data.rindex(b"\xff\xda")
    with pytest.raises(BadImage, match="has more than 100 scans, the limit"):
        decode_image(data[:-2] + data[last:-2] * 200 + data[-2:])


def test_scans_are_limited_on_the_slow_path_too() -> None:
    start = time.monotonic()
    with pytest.raises(BadImage, match="has more than 100 scans"):
        decode_image(scan_bomb(8000, 3000))
    assert time.monotonic() - start < 10  # decoding it would take minutes


def test_a_sequential_jpeg_with_endless_scans_is_refused() -> None:
    """Each component in a scan of its own is honest; the last again and again is not."""
    data = IMAGES["jpeg scan a component"]
    last = data.rindex(b"\xff\xda")
    with pytest.raises(BadImage, match="has more than 100 scans"):
        decode_image(data[:-2] + data[last:-2] * 200 + data[-2:])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xd8" + b"\xff" * 30_000_000, "ends before its first scan"),
        (b"\xff\xd8\xff\xdb\0\2" + b"\xff\0" * 15_000_000, "ends before its first scan"),
        (b"\xff\xd8" + b"\xff\xfe\0\2" * 7_000_000, "more than 10000 segments, the limit"),
        (b"\xff\xd8" + b"\xff\x01" * 15_000_000, "more than 10000 segments, the limit"),
    ],
    ids=["fill bytes", "stuffed zeros", "comments", "markers without a length"],
)
def test_jpegs_of_markers_alone_are_refused_at_once(data: bytes, words: str) -> None:
    start = time.monotonic()
    with pytest.raises(BadImage, match=words):
        decode_image(data)
    assert time.monotonic() - start < 10  # decoding it would take minutes


@pytest.mark.parametrize("trailer", [b"\xff\xda" * 200, bytes(range(256)) * 8000], ids=["markers", "2 MB"])
def test_what_follows_a_progressive_jpeg_is_no_scan(trailer: bytes) -> None:
    data = IMAGES["jpeg progressive"]
    assert np.array_equal(decode_image(data + trailer), decode_image(data))


@pytest.mark.parametrize("kind", [kind for kind in IMAGES if not kind.startswith("bmp")])
def test_truncated_files_are_refused(kind: str) -> None:
    data = IMAGES[kind]
    cut = data[: len(data) // (8 if "animated" in kind else 2)]
    with pytest.raises(BadImage, match=r"damaged|not an image"):
        decode_image(cut)


@pytest.mark.parametrize(
    ("form", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("GIF", {}), ("BMP", {})]
)
def test_truncated_files_are_decoded_where_asked_for(form: str, options: dict[str, bool]) -> None:
    data = encode(picture().resize((600, 400)), form, **options)
    accept = DecodeOptions(accept_truncated=True)
    whole, part = decode_image(data), decode_image(data[: len(data) * 3 // 4], options=accept)
    assert np.array_equal(whole, decode_image(data, options=accept))
    assert not np.array_equal(whole, part)
    if form in ("JPEG", "PNG") and not options:  # the others begin at the bottom, or coarse
        assert np.array_equal(whole[:100], part[:100])


@pytest.mark.parametrize("truncated", ["refuse", "accept"])
def test_corrupt_jpeg_data_count_as_truncated(truncated: str) -> None:
    data = bytearray(encode(picture().resize((600, 400)), "JPEG"))
    data[len(data) // 2 : len(data) // 2 + 100] = bytes(100)
    if truncated == "accept":
        assert decode_image(bytes(data), options=DecodeOptions(accept_truncated=True)).any()
    else:
        with pytest.raises(BadImage, match="is damaged: Corrupt JPEG data"):
            decode_image(bytes(data))


@pytest.mark.parametrize("kind", others())
def test_other_files_are_named(kind: str) -> None:
    with pytest.raises(BadImage, match="is not an image that can be read: send one of JPEG, PNG, WEBP, BMP, GIF"):
        decode_image(others()[kind])


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "image has 0 bytes"), (b"\xff", "not an image"), (b"\xff\xd8\xff", "ends before its first scan")],
    ids=["0 bytes", "1 byte", "3 bytes"],
)
def test_hardly_any_bytes(data: bytes, words: str) -> None:
    with pytest.raises(BadImage, match=words):
        decode_image(data)


def test_scaled_decode_is_for_large_jpegs_only() -> None:
    scaled = DecodeOptions(scaled_decode=True)
    large = encode(picture().resize((1800, 900), Image.Resampling.BICUBIC), "JPEG", quality=95)
    exact, fast = decode_image(large), decode_image(large, options=scaled)
    assert not np.array_equal(exact, fast)
    assert np.abs(exact.astype(int) - fast).mean() < 8
    small = encode(picture().resize((447, 300)), "JPEG")
    assert np.array_equal(decode_image(small), decode_image(small, options=scaled))


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(BadParameter, match="'crop', it must be stretch or center_crop"):
        DecodeOptions(mode="crop")


def test_photos_equal_opencv(shared_photos: Path) -> None:
    for path in sorted(shared_photos.glob("*.JPEG")):
        assert np.array_equal(decode_image(path.read_bytes()), opencv(path.read_bytes())), path.name


def test_mutated_files_give_pixels_or_bad_image() -> None:
    fuzz = Path(__file__).resolve().parents[1] / "fuzz" / "fuzz_decode.py"
    done = subprocess.run([sys.executable, fuzz, "--inputs", "3000"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "3000 inputs" in done.stdout
