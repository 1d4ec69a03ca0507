"""Right answers and class names, in the formats in which people have them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from resnet50_client.errors import DatasetError
from resnet50_client.ondisk import DiskDict

CLASSES = 1000  # of the network; torchvision numbers class folders only where all of them are there
FILE_COLUMNS = ("file", "filename", "file_name", "image", "image_id", "name", "path")
LABEL_COLUMNS = ("label", "class", "class_id", "target", "category")


@dataclass(frozen=True)
class Labels:
    """Class ids by file name, or by the name of the folder that an image is in."""

    ids: Mapping[str, int]
    by_folder: bool = False

    def find(self, name: str) -> int | None:
        """The right answer for the image at a path, or None."""
        path = PurePosixPath(name)
        return self.ids.get(path.parent.name if self.by_folder else path.name)

    def missing(self, found: Iterable[str]) -> Sequence[str]:
        """File names that have a label of their own but no image, sorted.

        Args:
            found: paths of all images.
        """
        if isinstance(self.ids, DiskDict):
            return self.ids.without(PurePosixPath(name).name for name in found)
        return ()


def read_labels(path: Path, class_map: Mapping[str, int] | None = None) -> Labels:
    """Read a labels file: a file name and a class on each line, between them a space, or in a .csv a comma.

    Args:
        path: names are without folders and may contain spaces; empty lines are skipped. A .csv may have a heading
            (such as `filename,label`), which then says which columns to take.
        class_map: class ids by class key, where labels are keys such as n01440764 rather than ids.

    Raises:
        DatasetError: the file cannot be read, or a line is wrong; the message names the line.
    """
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _text_rows(path)
    labels = DiskDict()
    for number, name, label, line in rows:
        class_id = _class_id(label, class_map or {})
        if not name or class_id is None:
            known = " (nor is it in the class map)" if class_map and name else ""
            raise DatasetError(f"{path}, line {number}: expected '<filename> <class id>', found '{line}'{known}")
        if PurePosixPath(name).name != name:
            raise DatasetError(f"{path}, line {number}: expected a file name without folders, found '{line}'")
        if not labels.add(name, class_id):
            raise DatasetError(f"{path}, line {number}: '{name}' already has the label {labels[name]}, found '{line}'")
    if not labels:
        raise DatasetError(f"{path}: no labels in it; expected '<filename> <class id>' on each line")
    return Labels(labels)


def labels_of_folders(names: Iterable[str], class_map: Mapping[str, int] | None = None) -> Labels:
    """Take the folder that each image is in for its class, as ImageNet and torchvision lay images out.

    Args:
        names: paths of the images.
        class_map: class ids by folder name. Without it, folders must be numbers, or all 1000 classes be there: then
            they are numbered in sorted order, as torchvision's ImageFolder does.

    Raises:
        DatasetError: a folder that is not in the class map, or folders that cannot be numbered.
    """
    folders = sorted({PurePosixPath(name).parent.name for name in names})
    if class_map is None and len(folders) == CLASSES and not all(map(_is_number, folders)):
        return Labels({folder: i for i, folder in enumerate(folders)}, by_folder=True)
    ids = {folder: _class_id(folder, class_map or {}) for folder in folders}
    unknown = [folder for folder, class_id in ids.items() if class_id is None]
    if unknown:
        raise DatasetError(
            f"{len(unknown)} of {len(folders)} folders have no class, the first is '{unknown[0]}': "
            + ("it is not in the class map" if class_map else "name a --class-map, or name folders by class id")
        )
    return Labels({folder: class_id for folder, class_id in ids.items() if class_id is not None}, by_folder=True)


def read_class_map(path: Path) -> dict[str, int]:
    """Read class ids by class key, such as {"n01440764": 0}.

    Args:
        path: JSON as torchvision's class_to_idx ({"n01440764": 0}) or imagenet_class_index ({"0": ["n01440764",
            "tench"]}), or text: the key is the first word of line i for class i, from 0 (synsets.txt).

    Raises:
        DatasetError: the file cannot be read, or is neither.
    """
    if path.suffix.lower() != ".json":
        keys = [line.split(maxsplit=1)[0] for line in read_lines(path) if line.strip()]
        classes = {key: i for i, key in enumerate(keys)}
        if len(classes) != len(keys):
            raise DatasetError(f"{path}: {len(keys)} lines, but only {len(classes)} different first words on them")
    else:
        try:
            content = json.loads("\n".join(read_lines(path)))
            if all(isinstance(value, int) for value in content.values()):
                classes = content
            else:
                classes = {(v if isinstance(v, str) else v[0]): int(class_id) for class_id, v in content.items()}
        except (ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
            raise DatasetError(
                f"{path}: no class map ({error}); expected "
                '{"n01440764": 0, ...} or {"0": ["n01440764", "tench"], ...}'
            ) from error
    if not classes:
        raise DatasetError(f"{path}: no classes in it")
    return classes


def read_names(path: Path) -> list[str]:
    """Read class names: line i, from 0, is the name of class i.

    Raises:
        DatasetError: the file cannot be read or is empty.
    """
    names = [line.strip() for line in read_lines(path)]
    if not any(names):
        raise DatasetError(f"{path}: no names in it; expected the name of class i on line i, from 0")
    return names


def read_lines(path: Path) -> list[str]:
    """All lines of a text file, as `lines_of`."""
    return list(lines_of(path))


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a text file, one by one.

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        # File names need not be UTF-8 on Linux; surrogateescape is how Python spells such names in paths as well.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            for line in file:
                yield line.removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise DatasetError(f"cannot read '{path}': {error.strerror}") from error


def _text_rows(path: Path) -> Iterable[tuple[int, str, str, str]]:
    """Of each line its number, the name, the label and the line itself."""
    for number, line in enumerate(lines_of(path), 1):
        if line.strip():
            name, _, label = line.rstrip().rpartition(" ")
            yield number, name.rstrip(), label, line


def _csv_rows(path: Path) -> Iterable[tuple[int, str, str, str]]:
    reader = csv.reader(lines_of(path))
    file_column, label_column = 0, 1
    for position, row in enumerate(row for row in reader if any(row)):
        heads = [cell.strip().lower() for cell in row]
        if position == 0 and not heads[-1].isdigit():
            files = [i for i, head in enumerate(heads) if head in FILE_COLUMNS]
            labels = [i for i, head in enumerate(heads) if head in LABEL_COLUMNS]
            if files and labels:
                file_column, label_column = files[0], labels[0]
                continue
        line = ",".join(row)
        if len(row) <= max(file_column, label_column):
            yield reader.line_num, "", "", line
        else:
            yield reader.line_num, row[file_column], row[label_column].strip(), line


def _class_id(label: str, class_map: Mapping[str, int]) -> int | None:
    return class_map[label] if label in class_map else int(label) if _is_number(label) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
