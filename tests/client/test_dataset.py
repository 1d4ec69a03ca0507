"""Finding images, and reading labels and names."""

from __future__ import annotations

from pathlib import Path

import pytest
from resnet50_client.connect import Endpoint
from resnet50_client.dataset import find_images, read_labels, read_names
from resnet50_client.errors import DatasetError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_are_searched_to_any_depth_and_sorted(tmp_path: Path) -> None:
    wanted = [tmp_path / "a.JPEG", tmp_path / "b" / "c" / "x y.jpg", tmp_path / "b" / "z.png", tmp_path / "odd"]
    touch(*wanted, tmp_path / "labels.txt", tmp_path / "._a.jpg")
    images = find_images([tmp_path], named={"odd"})
    assert images.paths == tuple(wanted)
    assert images.ignored == 2


def test_files_are_taken_whatever_their_name_and_in_the_order_given(tmp_path: Path) -> None:
    touch(tmp_path / "b.bin", tmp_path / "a.jpg")
    assert find_images([tmp_path / "b.bin", tmp_path / "a.jpg"]).paths == (tmp_path / "b.bin", tmp_path / "a.jpg")


def test_a_missing_path_and_an_empty_folder_are_errors(tmp_path: Path) -> None:
    touch(tmp_path / "labels.txt")
    with pytest.raises(DatasetError, match=r"no such file or folder: '.*gone'"):
        find_images([tmp_path / "gone"])
    with pytest.raises(DatasetError, match=r"no images in folder .*1 files; looked for \.bmp"):
        find_images([tmp_path])


def test_labels_take_the_last_field_and_names_with_spaces(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffa.jpg 1\r\nmy cat 2.jpg 281\n\n  é.jpg  0 \n".encode())
    assert read_labels(path) == {"a.jpg": 1, "my cat 2.jpg": 281, "  é.jpg": 0}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("b.jpg", r"line 2: expected '<filename> <class id>', found 'b.jpg'"),
        ("b.jpg cat", "line 2: expected '<filename> <class id>', found 'b.jpg cat'"),
        ("b.jpg -1", "line 2: expected"),
        ("b.jpg ²", "line 2: expected"),
        ("7", "line 2: expected"),
        ("dir/b.jpg 3", "line 2: expected a file name without folders, found 'dir/b.jpg 3'"),
        ("a.jpg 5", "line 2: 'a.jpg' already has the label 1, found 'a.jpg 5'"),
    ],
)
def test_a_wrong_label_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(f"a.jpg 1\n{line}\n")
    with pytest.raises(DatasetError, match=complaint):
        read_labels(path)


def test_unreadable_and_empty_files_are_errors(tmp_path: Path) -> None:
    touch(tmp_path / "empty")
    for read in (read_labels, read_names):
        with pytest.raises(DatasetError, match=r"cannot read '.*none': No such file"):
            read(tmp_path / "none")
        with pytest.raises(DatasetError, match="in it; expected"):
            read(tmp_path / "empty")


@pytest.mark.parametrize(
    ("url", "protocol", "expected"),
    [
        (None, None, "grpc://localhost:8001"),
        (None, "http", "http://localhost:8000"),
        ("card7", None, "grpc://card7:8001"),
        ("card7:9001", None, "grpc://card7:9001"),
        ("http://card7", None, "http://card7:8000"),
        ("http://card7:80/", "http", "http://card7:80"),
    ],
)
def test_urls(url: str | None, protocol: str | None, expected: str) -> None:
    assert str(Endpoint.parse(url, protocol)) == expected


@pytest.mark.parametrize(("url", "protocol"), [("http://card7", "grpc"), ("ftp://card7", None), (None, "tcp")])
def test_urls_that_make_no_sense(url: str | None, protocol: str | None) -> None:
    with pytest.raises(DatasetError, match="protocol"):
        Endpoint.parse(url, protocol)
