"""Finding images in folders, archives and lists."""

from __future__ import annotations

import contextlib
import io
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from resnet50_client.errors import DatasetError
from resnet50_client.images import find_images


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_are_searched_to_any_depth_and_sorted(tmp_path: Path) -> None:
    wanted = [tmp_path / "a.JPEG", tmp_path / "b" / "c" / "x y.jpg", tmp_path / "b" / "z.png", tmp_path / "odd"]
    touch(*wanted, tmp_path / "labels.txt", tmp_path / "._a.jpg")
    images = find_images([tmp_path], named={"odd"})
    assert [item.name for item in images.items] == list(map(str, wanted))
    assert images.ignored == 2


def test_files_are_taken_whatever_their_name_and_in_the_order_given(tmp_path: Path) -> None:
    touch(tmp_path / "b.bin", tmp_path / "a.jpg")
    given = [tmp_path / "b.bin", tmp_path / "a.jpg"]
    assert [item.name for item in find_images(given).items] == list(map(str, given))


def test_a_missing_path_and_an_empty_folder_are_errors(tmp_path: Path) -> None:
    touch(tmp_path / "labels.txt")
    with pytest.raises(DatasetError, match=r"no such file or folder: '.*gone'"):
        find_images([tmp_path / "gone"])
    with pytest.raises(DatasetError, match=r"no images in .*1 files; looked for \.bmp"):
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
    assert images.ignored == 1
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
