"""Images of formats that the server does not take: decoded by the client, counted, and refused with the reason."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client_support import Run
from PIL import Image, features
from resnet50_client import Client
from resnet50_client.errors import RequestRefused
from resnet50_client.formats import DECODED_HERE, SENT_PIXELS, as_server_takes
from resnet50_triton.server.process import Server

RNG = np.random.default_rng(17)
PICTURE = Image.fromarray(RNG.integers(0, 256, (9, 12, 3), np.uint8)).resize((300, 200), Image.Resampling.BICUBIC)
LOSSLESS = ["TIFF", "PPM", "TGA", "PCX", "SGI", "DDS", "QOI"]


def encoded(kind: str, picture: Image.Image = PICTURE, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("kind", LOSSLESS)
def test_pixels_are_kept(kind: str) -> None:
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"Pillow {Image.__version__} does not write {kind} (pip install -U pillow)")
    sent, found = as_server_takes(encoded(kind))
    assert found == kind
    assert sent.startswith(b"\x89PNG")
    np.testing.assert_array_equal(decoded(sent), np.asarray(PICTURE))


def test_an_icon_is_decoded_at_its_largest() -> None:
    sent, found = as_server_takes(encoded("ICO", PICTURE.resize((64, 64))))
    assert (found, decoded(sent).shape) == ("ICO", (64, 64, 3))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_what_the_server_takes_is_sent_as_it_is(kind: str) -> None:
    data = encoded(kind)
    assert as_server_takes(data) == (data, None)


@pytest.mark.parametrize("data", [b"", b"no image", b"P", b"%!PS-Adobe-3.0 EPSF", bytes(100)])
def test_so_is_what_is_no_image(data: bytes) -> None:
    assert as_server_takes(data) == (data, None)


def test_avif() -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF (pip install -U pillow, 11.3 or newer)")
    sent, found = as_server_takes(encoded("AVIF", quality=100))
    assert found == "AVIF"
    assert np.abs(decoded(sent).astype(int) - np.asarray(PICTURE)).mean() < 4


def test_heic() -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="pip install 'resnet50-client[heif]'")
    pillow_heif.register_heif_opener()
    sent, found = as_server_takes(encoded("HEIF", quality=95))
    assert found == "HEIF"
    assert np.abs(decoded(sent).astype(int) - np.asarray(PICTURE)).mean() < 4


def test_heic_without_its_package_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    Image.init()
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(RequestRefused, match=r"HEIF.*pip install 'resnet50-client\[heif\]'"):
        as_server_takes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))


def test_a_picture_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned right: the top row is the right column
    sent, _ = as_server_takes(encoded("TIFF", exif=exif))
    np.testing.assert_array_equal(decoded(sent), np.rot90(np.asarray(PICTURE), -1))


def test_16_bits_keep_the_upper_8() -> None:
    deep = RNG.integers(0, 65536, (20, 30), np.uint16)
    sent, _ = as_server_takes(encoded("TIFF", Image.fromarray(deep)))
    np.testing.assert_array_equal(decoded(sent)[..., 0], deep >> 8)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "LAB"])
def test_every_mode_of_tiff(mode: str) -> None:
    picture = PICTURE.convert(mode) if mode != "LAB" else Image.new("LAB", (30, 20))
    sent, _ = as_server_takes(encoded("TIFF", picture))
    assert Image.open(io.BytesIO(sent)).mode in ("L", "RGB")


def test_a_large_picture_is_halved() -> None:
    sent, _ = as_server_takes(encoded("PPM", Image.new("RGB", (4000, 3001))))
    assert Image.open(io.BytesIO(sent)).size == (2000, 1501)
    assert SENT_PIXELS < 4000 * 3001


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded("TIFF")[:2000], "TIFF"),
        (encoded("TIFF", Image.new("F", (8, 8))), "floating-point"),
        (b"P6 9000 8000 255\n", "limit is 64000000"),
        (b"P6 99999 99999 255\n", "too large"),
        (encoded("PPM")[:90], "PPM of 90 bytes cannot be decoded"),
        (b"II*\0" + bytes(60), "it is damaged"),
    ],
)
def test_a_bad_one_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(RequestRefused, match=reason):
        as_server_takes(data)


def test_each_format_has_a_suffix_that_only_it_has() -> None:
    suffixes = [suffix for _, some in DECODED_HERE.values() for suffix in some]
    assert len(suffixes) == len(set(suffixes))


@pytest.mark.server
def test_classify_decodes_and_says_so(run: Run, server: Server, tmp_path: Path) -> None:
    """The same classes and scores as of the PNG; a broken one is named, and costs the others nothing."""
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    (tmp_path / "b.tif").write_bytes(encoded("TIFF"))
    (tmp_path / "c.ppm").write_bytes(encoded("PPM"))
    (tmp_path / "d.tif").write_bytes(encoded("TIFF")[:300])
    done = run("classify", tmp_path, "--url", server.grpc_url, "--json")
    assert done.returncode == 1
    png, tiff, ppm, broken = map(json.loads, done.stdout.splitlines())
    assert png["top"] == tiff["top"] == ppm["top"]
    assert "TIFF" in broken["error"]
    assert "decoded here, since the server does not take these formats: 1 PPM, 1 TIFF" in done.stderr


@pytest.mark.server
def test_the_sample_says_that_it_is_one(run: Run, server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    done = run("classify", tmp_path / "a.png", "--url", server.grpc_url)
    assert "sample network: knows 32 drawn classes" in done.stderr
    assert "the trained one: README, 'A real card'" in done.stderr
    names = tmp_path / "names.txt"
    names.write_text("".join(f"thing {i}\n" for i in range(1000)))
    assert "sample" not in run("classify", tmp_path / "a.png", "--url", server.grpc_url, "--names", names).stderr


@pytest.mark.server
def test_pixels_of_what_opencv_does_not_read(server: Server) -> None:
    pytest.importorskip("cv2", reason="pip install 'resnet50-client[pixels]'")
    with Client(server.grpc_url, pixels=True) as client:
        png, tga = client.classify([encoded("PNG"), encoded("TGA")])
    assert png.top == tga.top
    assert tga.error is None
