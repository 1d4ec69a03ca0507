"""Small real files of every format and kind that the decoder takes, and of some that it does not."""

from __future__ import annotations

import io
import tarfile
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
