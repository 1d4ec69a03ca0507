"""Finding images in folders, archives and lists."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from resnet50_client.errors import DatasetError
from resnet50_client.images import as_images, as_item, find_images


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_are_searched_to_any_depth_and_sorted(tmp_path: Path) -> None:
    wanted = [tmp_path / "a.JPEG", tmp_path / "b" / "c" / "x y.jpg", tmp_path / "b" / "z.png", tmp_path / "odd"]
    touch(*wanted, tmp_path / "labels.txt", tmp_path / "._a.jpg")
    images = find_images([tmp_path], named={"odd"})
    assert [item.name for item in images.items] == list(map(str, wanted))
    assert images.skipped.counts == {"with the suffix .txt": 1, "hidden": 1}
    assert images.skipped.examples["hidden"] == [str(tmp_path / "._a.jpg")]
    assert find_images([tmp_path], beside=[tmp_path / "labels.txt"]).skipped.counts == {
        "hidden": 1,
        "without a suffix": 1,
    }


def test_files_are_taken_whatever_their_name_and_in_the_order_given(tmp_path: Path) -> None:
    touch(tmp_path / "b.bin", tmp_path / "a.jpg")
    given = [tmp_path / "b.bin", tmp_path / "a.jpg"]
    assert [item.name for item in find_images(given).items] == list(map(str, given))


def test_a_missing_path_and_an_empty_folder_are_errors(tmp_path: Path) -> None:
    touch(tmp_path / "labels.txt")
    with pytest.raises(DatasetError, match=r"no such file or folder: '.*gone'"):
        find_images([tmp_path / "gone"])
    with pytest.raises(
        DatasetError, match=r"no images in .*2 files: 1 with the suffix .txt, 1 folders without an image; looked"
    ):
        find_images([tmp_path])


FILES = {"b/two.jpg": b"2" * 3000, "one.JPEG": b"1", "notes.md": b"x", "odd": b"3"}


def write_archive(path: Path) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in FILES.items():
                archive.writestr(name, data)
    else:
        mode = {".tar": "w", ".gz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}[path.suffix]
        with tarfile.open(path, mode) as tar:
            for name, data in FILES.items():
                member = tarfile.TarInfo(f"./{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_archives_are_read_in_any_order_and_from_threads(tmp_path: Path, name: str) -> None:
    path = write_archive(tmp_path / name)
    images = find_images([path], named={"odd"})
    assert [item.name for item in images.items] == [f"{path}/{inside}" for inside in ("b/two.jpg", "odd", "one.JPEG")]
    assert images.skipped.counts == {"with the suffix .md": 1}
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda item: item.read(), images.items[::-1] * 50))
    assert read == [b"1", b"3", b"2" * 3000] * 50


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_a_damaged_archive_fails_at_once_or_image_by_image(tmp_path: Path, name: str) -> None:
    """Any cut gives an error of ours, or images of which those behind the cut cannot be read."""
    whole = write_archive(tmp_path / name).read_bytes()
    for kept in (0, 1, 100, 600, len(whole) // 2, len(whole) - 20):
        cut = tmp_path / f"cut{Path(name).suffix}"
        cut.write_bytes(whole[:kept])
        with contextlib.suppress(DatasetError):
            for item in find_images([cut]).items:
                with contextlib.suppress(OSError):
                    assert item.read() in FILES.values()


def test_a_list_names_images_relative_to_itself(tmp_path: Path) -> None:
    touch(tmp_path / "a b.jpg", tmp_path / "deep" / "c")
    (tmp_path / "list.txt").write_text(f"deep/c\n\n{tmp_path}/a b.jpg\ngone.jpg\n")
    items = find_images([tmp_path / "list.txt"]).items
    assert [item.name for item in items] == [str(tmp_path / name) for name in ("deep/c", "a b.jpg", "gone.jpg")]
    with pytest.raises(FileNotFoundError):
        items[2].read()


def test_every_name_that_a_jpeg_may_have(tmp_path: Path) -> None:
    names = ["a.jfif", "b.JPE", "c.pjpeg", "d.pjp", "e.dib", "f.apng", "g.heic", "h.tif", "i.AVIF"]
    touch(*(tmp_path / name for name in names), tmp_path / "j.eps", tmp_path / "k.xcf")
    images = find_images([tmp_path])
    assert [Path(item.name).name for item in images.items] == names
    assert images.skipped.counts == {"with the suffix .eps": 1, "with the suffix .xcf": 1}


def test_links_are_followed_and_what_cannot_be_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere" / "far.jpg", tmp_path / "val" / "near.jpg")
    val = tmp_path / "val"
    (val / "folder").symlink_to(tmp_path / "elsewhere")
    (val / "link.jpg").symlink_to("near.jpg")
    os.link(val / "near.jpg", val / "twin.jpg")
    (val / "loop").symlink_to(val)
    (val / "again").symlink_to("folder")
    (val / "broken.jpg").symlink_to("gone.jpg")
    (val / "itself.jpg").symlink_to("itself.jpg")
    os.mkfifo(val / "pipe.jpg")
    (val / "empty_class").mkdir()
    images = find_images([val])
    names = {Path(item.name).relative_to(val).name for item in images.items}
    assert names == {"far.jpg", "link.jpg", "near.jpg", "twin.jpg"}
    assert len(images.items) == 4  # the folder that two links lead to is searched once
    assert images.skipped.counts == {
        "links to a folder that is searched already": 2,
        "broken links": 2,
        "special files": 1,
        "folders without an image": 1,
    }
    assert images.skipped.examples["folders without an image"] == [str(val / "empty_class")]


def test_links_in_a_tar_are_read(tmp_path: Path) -> None:
    touch(tmp_path / "d" / "x.jpg")
    (tmp_path / "d" / "x.jpg").write_bytes(b"the image")
    os.link(tmp_path / "d" / "x.jpg", tmp_path / "d" / "y.jpg")
    (tmp_path / "d" / "z.jpg").symlink_to("./x.jpg")
    (tmp_path / "d" / "zz.jpg").symlink_to("z.jpg")
    (tmp_path / "d" / "out.jpg").symlink_to("/etc/passwd")
    (tmp_path / "d" / "round.jpg").symlink_to("round.jpg")
    os.mkfifo(tmp_path / "d" / "pipe.jpg")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "d", "./d")
    images = find_images([tmp_path / "a.tar"])
    assert {Path(item.name).name: item.read() for item in images.items} == dict.fromkeys(
        ["x.jpg", "y.jpg", "z.jpg", "zz.jpg"], b"the image"
    )
    assert images.skipped.counts == {"links to nothing in their archive": 2, "special files": 1}


def test_links_in_a_zip_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("d/x.jpg", b"the image")
        for name, target in (("d/y.jpg", "x.jpg"), ("z.jpg", "d/y.jpg"), ("gone.jpg", "../../etc/passwd")):
            link = zipfile.ZipInfo(name)
            link.create_system = 3
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, target)
    images = find_images([tmp_path / "a.zip"])
    assert {item.name.removeprefix(f"{tmp_path}/a.zip/"): item.read() for item in images.items} == dict.fromkeys(
        ["d/x.jpg", "d/y.jpg", "z.jpg"], b"the image"
    )
    assert images.skipped.counts == {"links to nothing in their archive": 1}


def test_one_image_is_one_image_whatever_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    picture = PIL.Image.fromarray(pixels)
    for one in ("photo.jpg", Path("photo.jpg"), b"bytes", bytearray(b"bytes"), pixels, pixels[..., 0], picture):
        assert len(list(as_images(one))) == 1
    for several in (["a.jpg", b"x"], np.stack([pixels] * 4), iter([picture] * 4), (pixels, pixels)):
        assert len(list(as_images(several))) in (2, 4)
    for one in (pixels, picture, picture.convert("RGBA"), pixels[:, ::-1][:, ::-1]):
        with PIL.Image.open(io.BytesIO(as_item(one, "image 0").read())) as sent:
            assert np.array_equal(np.asarray(sent), pixels)
    with PIL.Image.open(io.BytesIO(as_item(pixels[..., 1], "image 0").read())) as sent:
        assert np.array_equal(np.asarray(sent), pixels[..., 1])
    assert as_item(np.frombuffer(b"encoded", np.uint8), "image 0").read() == b"encoded"
    assert (as_item("photo.jpg", "x").name, as_item(b"", "x").name) == ("photo.jpg", "x")
    for wrong in (7, None, pixels.astype(float), pixels[..., :2]):
        with pytest.raises(DatasetError, match=r"image 3 is .*; an image is a path"):
            as_item(wrong, "image 3")  # type: ignore[arg-type]
