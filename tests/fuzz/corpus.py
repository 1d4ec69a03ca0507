"""Small real files of every format and kind that the decoder takes, and of some that it does not."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from typing import Any

import cv2
import numpy as np
from PIL import Image

WIDTH, HEIGHT = 61, 47  # no multiple of a JPEG block


def picture() -> Image.Image:
    """A picture with smooth parts, edges and noise: uint8 RGB, always the same."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    noise = np.random.default_rng(1).integers(0, 60, (HEIGHT, WIDTH))
    channels = [x * 4, y * 5, np.where((x // 8 + y // 8) % 2, 200, 20) + noise]
    return Image.fromarray(np.stack(channels, axis=2).clip(0, 255).astype(np.uint8))


def encode(image: Image.Image, form: str, **options: Any) -> bytes:
    """`image` as a file of the format."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def with_orientation(value: int) -> Image.Exif:
    """EXIF data that state one orientation."""
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def sixteen_bits(image: Image.Image, channels: int) -> bytes:
    """A PNG of 16 bits a channel, whose lower 8 are not 0."""
    wide = np.asarray(image.convert("RGB" if channels == 3 else "L")).astype(np.uint16) * 256 + 77
    return cv2.imencode(".png", wide)[1].tobytes()


def scan_a_component(image: Image.Image) -> bytes:
    """A sequential JPEG with its components in scans of their own, made of three grey ones."""
    planes = [encode(plane, "JPEG") for plane in image.convert("YCbCr").split()]
    frame, scan = planes[0].index(b"\xff\xc0"), planes[0].index(b"\xff\xda")
    size = planes[0][frame + 4 : frame + 9]  # precision, height, width
    components = b"".join(bytes([i, 0x11, 0]) for i in (1, 2, 3))
    data = planes[0][:frame] + b"\xff\xc0\x00\x11" + size + b"\x03" + components + planes[0][frame + 13 : scan]
    for i, plane in enumerate(planes, 1):
        data += b"\xff\xda\x00\x08\x01" + bytes([i]) + b"\x00\x00\x3f\x00" + plane[plane.index(b"\xff\xda") + 10 : -2]
    return data + b"\xff\xd9"


def images() -> dict[str, bytes]:
    """Files that decode, by what they are."""
    rgb = picture()
    alpha = rgb.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(rgb.size))
    turned = [rgb.rotate(90 * i) for i in range(3)]
    files = {f"jpeg {s}": encode(rgb, "JPEG", subsampling=s) for s in ("4:4:4", "4:2:2", "4:2:0", "4:1:1")}
    files |= {f"jpeg orientation {i}": encode(rgb, "JPEG", exif=with_orientation(i)) for i in range(1, 9)}
    files |= {f"png {mode}": encode(rgb.convert(mode), "PNG") for mode in ("1", "L", "P", "RGB")}
    return files | {
        "jpeg grey": encode(rgb.convert("L"), "JPEG"),
        "jpeg scan a component": scan_a_component(rgb),
        "jpeg progressive": encode(rgb, "JPEG", progressive=True),
        "jpeg cmyk": encode(rgb.convert("CMYK"), "JPEG"),
        "jpeg rgb": encode(rgb, "JPEG", keep_rgb=True),
        "jpeg restart": encode(rgb, "JPEG", restart_marker_blocks=2),
        "png LA": encode(alpha.convert("LA"), "PNG"),
        "png RGBA": encode(alpha, "PNG"),
        "png transparent palette": encode(rgb.convert("P"), "PNG", transparency=3),
        "png 16 bit grey": sixteen_bits(rgb, 1),
        "png 16 bit rgb": sixteen_bits(rgb, 3),
        "png orientation": encode(rgb, "PNG", exif=with_orientation(6)),
        "png animated": encode(rgb, "PNG", save_all=True, append_images=turned),
        "webp": encode(rgb, "WEBP"),
        "webp lossless": encode(rgb, "WEBP", lossless=True),
        "webp alpha": encode(alpha, "WEBP", lossless=True, exact=True),
        "webp animated": encode(rgb, "WEBP", lossless=True, save_all=True, append_images=turned),
        "bmp": encode(rgb, "BMP"),
        "bmp palette": encode(rgb.convert("P"), "BMP"),
        "bmp 1 bit": encode(rgb.convert("1"), "BMP"),
        "gif": encode(rgb.convert("P"), "GIF"),
        "gif animated": encode(rgb, "GIF", save_all=True, append_images=turned),
    }


def others() -> dict[str, bytes]:
    """Files that are no image, or of no format we take."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("picture.jpg"), io.BytesIO())
    return {
        "tar": buffer.getvalue(),
        "text": b"hello " * 20,
        "tiff": encode(picture(), "TIFF"),
        "eps": encode(picture(), "EPS"),
        "ico": encode(picture(), "ICO"),
    }


def bmp_of_16_bits(kind: str, from_top: bool = False) -> bytes:
    """A BMP of every value of its channels: 5 bits each ("555", or "555 masks" with them stated), or "565"."""
    width, height = 256, 256
    values = np.arange(width * height, dtype="<u2").reshape(height, width)
    masks = {"555": (), "555 masks": (0x7C00, 0x3E0, 0x1F), "565": (0xF800, 0x7E0, 0x1F)}[kind]
    start = 54 + 4 * len(masks)
    rows = -height if from_top else height
    header = struct.pack("<IiiHHIIiiII", 40, width, rows, 1, 16, 3 if masks else 0, values.nbytes, 0, 0, 0, 0)
    data = header + struct.pack(f"<{len(masks)}I", *masks) + values.tobytes()
    return b"BM" + struct.pack("<IHHI", 14 + len(data), 0, 0, start) + data


def png_with(chunk: bytes) -> bytes:
    """A PNG with one chunk more before its pixels."""
    data = encode(picture(), "PNG")
    return data[:33] + chunk + data[33:]


def packed(size: int) -> bytes:
    """What unpacks to so many bytes."""
    return zlib.compress(bytes(size))


def exif_entry(order: str, kind: int, count: int, value: bytes) -> bytes:
    """EXIF data whose one entry is an orientation of this type and count, in byte order "<" or ">"."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IHHHI", 8, 1, 0x0112, kind, count)
    tiff = head + (value.ljust(4, b"\0") + bytes(4) if len(value) <= 4 else struct.pack(order + "II", 26, 0) + value)
    return b"Exif\0\0" + tiff


def scan_bomb(scans: int, side: int) -> bytes:
    """A progressive JPEG of so many scans that the fast path does not take: no JFIF, Adobe's colour transform 2."""
    data = encode(Image.new("RGB", (side, side), (100, 120, 140)), "JPEG", progressive=True)
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x02"
    data = data[:2] + adobe + data[int.from_bytes(data[4:6], "big") + 4 :]
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * (scans - data.count(b"\xff\xda")) + data[-2:]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def interlaced_png(side: int) -> bytes:
    """A black PNG of Adam7's seven passes."""
    rows = b""
    for x, y, dx, dy in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        rows += bytes(1 + 3 * -(-(side - x) // dx)) * -(-(side - y) // dy)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(rows, 1)) + png_chunk(b"IEND", b"")


def run_length_bmp(side: int) -> bytes:
    """A BMP whose runs are of one pixel each: two bytes a pixel, which Pillow reads in Python."""
    runs = (b"\x01\x07" * side + b"\0\0") * side + b"\0\1"
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1078 + len(runs), 0, 0, 1078) + header + bytes(1024) + runs


def bombs() -> dict[str, bytes]:
    """Files that are within the limits and take long, or try to."""
    png, gif, jpeg = encode(picture(), "PNG"), encode(picture().convert("P"), "GIF"), encode(picture(), "JPEG")
    palette_end = 13 + 3 * 2 ** ((gif[10] & 7) + 1)
    comment = b"\x21\xfe" + (b"\xff" + b"c" * 255) * 60_000 + b"\0"
    exif = b"\xff\xe1\xff\xffExif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\4" * 16_377
    return {
        "jpeg of many scans": scan_bomb(90, 7900),
        "jpeg of far too many scans": scan_bomb(8000, 3000),
        "jpeg of fill bytes": b"\xff\xd8" + b"\xff" * 20_000_000,
        "jpeg of empty segments": b"\xff\xd8" + b"\xff\xfe\0\2" * 5_000_000,
        "jpeg with 13 MB of EXIF": jpeg[:2] + exif[: 4 + 65_533] * 200 + jpeg[2:],
        "png of 64 megapixels": encode(Image.new("L", (8000, 8000)), "PNG"),
        "png interlaced": interlaced_png(5000),
        "png of small chunks": png[:33] + png_chunk(b"abCd", b"") * 800_000 + png[33:],
        "gif of 64 megapixels": encode(Image.new("P", (8000, 8000)), "GIF"),
        "gif with a comment of 15 MB": gif[:palette_end] + comment + gif[palette_end:],
        "gif animated": encode(
            Image.new("P", (3000, 3000)), "GIF", save_all=True, append_images=[Image.new("P", (3000, 3000), 9)] * 9
        ),
        "webp of 64 megapixels": encode(Image.new("RGB", (8000, 8000)), "WEBP", lossless=True, quality=0),
        "bmp of runs of one": run_length_bmp(3900),
        "small bmp of runs of one": run_length_bmp(1700),
    }
