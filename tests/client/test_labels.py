"""Labels in every format, class maps and names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from resnet50_client.errors import DatasetError
from resnet50_client.labels import labels_of_folders, read_class_map, read_labels, read_names


def test_labels_take_the_last_field_and_names_with_spaces(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffa.jpg 1\r\nmy cat 2.jpg 281\n\n  é.jpg  0 \n".encode())
    assert read_labels(path).ids == {"a.jpg": 1, "my cat 2.jpg": 281, "  é.jpg": 0}


def test_labels_without_an_image_are_missing(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("c 1\na 2\nb 3\n")
    labels = read_labels(tmp_path / "labels.txt")
    assert list(labels.missing(["val/b", "val/d", "b"])) == ["a", "c"]
    assert list(labels.missing([])) == ["a", "b", "c"]
    assert list(labels_of_folders(["7/x.jpg"]).missing([])) == []


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
    (tmp_path / "empty").touch()
    for read in (read_labels, read_names, read_class_map):
        with pytest.raises(DatasetError, match=r"cannot read '.*none': No such file"):
            read(tmp_path / "none")
        with pytest.raises(DatasetError, match="in it"):
            read(tmp_path / "empty")


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg,1\nb c.jpg,2\n",
        "filename,label\r\na.jpg,1\r\n\r\nb c.jpg,2\r\n",
        'size,Label,File\n9,1,a.jpg\n9,2,"b c.jpg"\n',
        "image,class_id\na.jpg,cat\nb c.jpg,dog\n",
    ],
)
def test_csv_labels(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    assert read_labels(tmp_path / "labels.csv", {"cat": 1, "dog": 2}).ids == {"a.jpg": 1, "b c.jpg": 2}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a.jpg,1\nb.jpg\n", "line 2: expected .* found 'b.jpg'"),
        ("file,label\na.jpg,cat\n", "line 2: expected .* found 'a.jpg,cat'$"),
        ("colour,weight\na.jpg,1\n", "line 1: expected .* found 'colour,weight'"),
    ],
)
def test_a_wrong_csv_line_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DatasetError, match=complaint):
        read_labels(tmp_path / "labels.csv")


def test_labels_may_be_keys_of_a_class_map(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a.jpg n02\nb.jpg 7\n")
    assert read_labels(tmp_path / "labels.txt", {"n02": 5}).ids == {"a.jpg": 5, "b.jpg": 7}
    with pytest.raises(DatasetError, match=r"line 1: .*nor is it in the class map"):
        read_labels(tmp_path / "labels.txt", {"n03": 5})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map.json", json.dumps({"n01": 0, "n02": 1})),
        ("map.json", json.dumps({"0": ["n01", "tench"], "1": ["n02", "goldfish"]})),
        ("map.json", json.dumps({"0": "n01", "1": "n02"})),
        ("synsets.txt", "n01 tench, Tinca tinca\nn02 goldfish\n"),
    ],
)
def test_class_maps(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_class_map(tmp_path / name) == {"n01": 0, "n02": 1}


@pytest.mark.parametrize(
    ("name", "text"),
    [("m.json", "[1]"), ("m.json", "{"), ("m.json", '{"x": []}'), ("m.json", "{}"), ("m.txt", "a\na\n")],
)
def test_what_is_no_class_map_is_said(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=name):
        read_class_map(tmp_path / name)


def test_folders_are_classes() -> None:
    labels = labels_of_folders(["val/n01/x.jpg", "val.tar/n02/x.jpg"], {"n01": 0, "n02": 281})
    assert [labels.find(name) for name in ("val/n01/x.jpg", "val.tar/n02/x.jpg", "n03/x.jpg")] == [0, 281, None]
    assert labels_of_folders(["10/x.jpg", "9/x.jpg"]).find("10/x.jpg") == 10
    with pytest.raises(
        DatasetError, match=r"1 of 2 folders have no class, the first is 'n03': it is not in the class map"
    ):
        labels_of_folders(["n01/x.jpg", "n03/x.jpg"], {"n01": 0})
    with pytest.raises(DatasetError, match=r"2 of 2 folders .*name a --class-map"):
        labels_of_folders(["n01/x.jpg", "n03/x.jpg"])


def test_all_thousand_folders_are_numbered_as_torchvision_does() -> None:
    labels = labels_of_folders(f"val/n{7 * i:08}/x.jpg" for i in reversed(range(1000)))
    assert [labels.find(f"n{7 * i:08}/y.jpg") for i in (0, 1, 999)] == [0, 1, 999]


def test_classes_beyond_the_network_are_refused_with_the_hint(tmp_path: Path, shared: Path) -> None:
    hint = "the network has the classes 0 to 999: are these labels 1-based?"
    with pytest.raises(DatasetError, match=f"r.txt, line 1: found class 1000 in .*{re.escape(hint)}"):
        read_labels(shared / "cases" / "labels" / "r.txt")
    (tmp_path / "l.csv").write_text("file,label\na.jpg,999\nb.jpg,1000\n")
    (tmp_path / "m.json").write_text(json.dumps({f"n{i}": i for i in range(1, 1001)}))
    (tmp_path / "m.txt").write_text("".join(f"n{i}\n" for i in range(1001)))
    with pytest.raises(DatasetError, match=r"line 3: .*1-based"):
        read_labels(tmp_path / "l.csv")
    with pytest.raises(DatasetError, match=r"'n1000' is class 1000; .*1-based"):
        read_class_map(tmp_path / "m.json")
    with pytest.raises(DatasetError, match="1001 lines, but the network has 1000 classes"):
        read_class_map(tmp_path / "m.txt")
    with pytest.raises(DatasetError, match=r"the folder '1000' is class 1000; .*1-based"):
        labels_of_folders(["1/x.jpg", "1000/x.jpg"])


NAMES = [f"thing {i}" for i in range(1000)]


@pytest.mark.parametrize(
    "data",
    [
        "\n".join(NAMES).encode(),
        ("\r\n".join(NAMES) + "\r\n\r\n").encode("utf-8-sig"),
        "\r".join(NAMES).encode(),
        "\r\n".join(NAMES).encode("utf-16"),
        json.dumps(NAMES).encode("utf-8-sig"),
        json.dumps(NAMES, indent=4).encode(),
        json.dumps({str(i): ["n01", name] for i, name in enumerate(NAMES)}).encode(),
        repr(dict(enumerate(NAMES))).encode(),  # as one much copied list has them
        str(dict(enumerate(NAMES))).replace(", ", ",\n ").encode(),
    ],
)
def test_names_are_read_from_any_systems_files(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "names.txt").write_bytes(data)
    assert read_names(tmp_path / "names.txt") == NAMES


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("class\n" + "\n".join(NAMES), "1001 lines, but the network has 1000 classes .is the first line a heading"),
        ("\n".join(NAMES[1:]), "999 names, but the network has 1000"),
        ("\n" + "\n".join(NAMES), "1001 lines"),
        ("\n".join(["{", *NAMES[1:]]), "neither JSON"),
        (json.dumps([*NAMES, "one more"]), "1001 names"),
        (json.dumps({str(i + 1): name for i, name in enumerate(NAMES)}), "no names of classes in it .'0'"),
        (json.dumps([[]] * 1000), "no names of classes"),
        ("\0\n" * 1000, "no text: it has a zero byte"),
    ],
)
def test_names_that_would_be_shifted_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(DatasetError, match=complaint):
        read_names(tmp_path / "names.txt")


def test_the_lists_that_were_misread(shared: Path) -> None:
    folder = shared / "cases" / "labels"
    names = read_names(folder / "crlf.txt")
    assert (names[0], names[19]) == ("archery target", "rainbow")
    assert read_names(folder / "n_indent.json") == names
    assert dict(read_labels(folder / "bom.txt").ids)["archery_target_01.JPEG"] == 0


def test_a_class_without_an_image_is_named() -> None:
    labels = labels_of_folders(["n01/x.jpg"], {"n01": 0, "n02": 1})
    assert list(labels.missing(["n01/x.jpg"])) == ["class n02"]


def test_labels_with_tabs_and_of_other_systems(tmp_path: Path) -> None:
    for data in (b"a.jpg\t1\nb c.jpg 2\n", "a.jpg 1\r\nb c.jpg 2".encode("utf-16"), b"\xef\xbb\xbfa.jpg 1\rb c.jpg  2"):
        (tmp_path / "labels.txt").write_bytes(data)
        assert read_labels(tmp_path / "labels.txt").ids == {"a.jpg": 1, "b c.jpg": 2}


def test_several_right_classes_an_image(tmp_path: Path) -> None:
    """ReaL's file: a list in the order of the validation set, and an image with an empty list does not count."""
    path = tmp_path / "real.json"
    path.write_text("[[], [970, 795], [230]]")
    labels = read_labels(path)
    assert labels.ids == {"ILSVRC2012_val_00000002.JPEG": (970, 795), "ILSVRC2012_val_00000003.JPEG": 230}
    assert labels.find("val/ILSVRC2012_val_00000002.JPEG") == (970, 795)
    assert labels.find("val/ILSVRC2012_val_00000001.JPEG") is None
    assert labels.missing(["val/ILSVRC2012_val_00000003.JPEG"]) == ["ILSVRC2012_val_00000002.JPEG"]
    path.write_text('{"a.jpg": [1, 2], "b.jpg": 3, "c.jpg": []}')
    assert read_labels(path).ids == {"a.jpg": (1, 2), "b.jpg": 3}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[1], [1000]]", "'ILSVRC2012_val_00000002.JPEG' is class 1000; the network has the classes 0 to 999"),
        ('{"a.jpg": ["tench"]}', r"class ids such as \[281, 282\] for 'a.jpg', found \[\"tench\"\]"),
        ('{"a.jpg": [-1]}', "class ids such as"),
        ('{"a.jpg": [true]}', "class ids such as"),
        ('{"a.jpg": null}', "class ids such as"),
        ("[[], []]", "no labels in it"),
        ("3", "no labels in it"),
        ("[[1]", "no JSON"),
    ],
)
def test_what_is_no_list_of_several_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "real.json").write_text(text)
    with pytest.raises(DatasetError, match=complaint):
        read_labels(tmp_path / "real.json")


def test_pickled_names_are_not_read_here(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"serve --labels labels\.pkl"):
        read_names(tmp_path / "labels.pkl")
