"""Reads ground truth and class names, in the usual formats."""

from __future__ import annotations

import ast
import codecs
import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from resnet50_client.database import open_notes, pack, unpack
from resnet50_client.errors import DatasetError

CLASSES = 1000  # of the network; torchvision numbers class folders only where all of them are there
FILE_COLUMNS = ("file", "filename", "file_name", "image", "image_id", "name", "path")
LABEL_COLUMNS = ("label", "class", "class_id", "target", "category")
RANGE = f"the network has the classes 0 to {CLASSES - 1}: are these labels 1-based? take 1 from each"
UNUSED = re.compile(r"\(unused \d+\)")  # a name in the sample's label file
VALIDATION_IMAGE = "ILSVRC2012_val_{:08}.JPEG"  # ImageNet's, from 1
WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # how files begin that Windows calls Unicode


# The right class of an image, or all of several, or None where it is not known.
GroundTruth = int | tuple[int, ...] | None


def classes_of(label: GroundTruth) -> tuple[int, ...]:
    """All right classes."""
    return () if label is None else (label,) if isinstance(label, int) else label


def pack_label(label: GroundTruth) -> int | str | None:
    """A label as SQLite and CSV take it: one class as a number, several as text such as "65 58"."""
    return " ".join(map(str, label)) if isinstance(label, tuple) else label


def unpack_label(value: int | str | None) -> GroundTruth:
    """What `pack_label` was given."""
    return tuple(map(int, value.split())) if isinstance(value, str) else value


class LabelsByFile(Mapping[str, GroundTruth]):
    """Class ids by file name, any number of them, on disk; in the order in which they came."""

    def __init__(self) -> None:
        self._db = open_notes("CREATE TABLE label (position INTEGER PRIMARY KEY, file UNIQUE, class)")

    def add(self, name: str, label: GroundTruth) -> bool:
        """Add one; False where there is one of that name, which stays as it is."""
        insert = "INSERT OR IGNORE INTO label (file, class) VALUES (?, ?)"
        return self._db.execute(insert, (pack(name), pack_label(label))).rowcount == 1

    def without(self, names: Iterable[str]) -> list[str]:
        """The names that are not among others, sorted."""
        self._db.execute("CREATE TEMP TABLE other (file UNIQUE)")
        self._db.executemany("INSERT OR IGNORE INTO other VALUES (?)", ((pack(name),) for name in names))
        rows = self._db.execute("SELECT file FROM label EXCEPT SELECT file FROM other ORDER BY file").fetchall()
        self._db.execute("DROP TABLE other")
        return [unpack(name) for (name,) in rows]

    def __getitem__(self, name: str) -> GroundTruth:
        row = self._db.execute("SELECT class FROM label WHERE file = ?", (pack(name),)).fetchone()
        if row is None:
            raise KeyError(name)
        return unpack_label(row[0])

    def __iter__(self) -> Iterator[str]:
        return (unpack(name) for (name,) in self._db.execute("SELECT file FROM label ORDER BY position"))

    def __len__(self) -> int:
        return int(self._db.execute("SELECT COUNT(*) FROM label").fetchone()[0])


@dataclass(frozen=True)
class Labels:
    """Class ids by file name, or by the name of the folder that an image is in."""

    ids: Mapping[str, GroundTruth]
    by_folder: bool = False
    classes: Mapping[str, int] | None = None  # the class map, which says what classes there are to be

    def find(self, name: str) -> GroundTruth:
        """The label of the image at a path, or None."""
        path = PurePosixPath(name)
        return self.ids.get(path.parent.name if self.by_folder else path.name)

    def missing(self, found: Iterable[str]) -> Sequence[str]:
        """What has no image: file names with a label of their own, or the classes of a class map; sorted.

        Args:
            found: paths of all images.
        """
        if isinstance(self.ids, LabelsByFile):
            return self.ids.without(PurePosixPath(name).name for name in found)
        return sorted(f"class {key}" for key in (self.classes or {}).keys() - self.ids.keys())


def read_labels(path: Path, class_map: Mapping[str, int] | None = None) -> Labels:
    """Read a labels file: a file name and a class on each line, between them white space, or in a .csv a comma.

    Args:
        path: names are without folders and may contain spaces; empty lines are skipped. A .csv may have a heading
            (such as `filename,label`), which then says which columns to take. A .json has several right classes for
            an image: {"cat.jpg": [281, 282]}, or a list in the order of ImageNet's validation set (ReaL's real.json).
        class_map: class ids by class key, where labels are keys such as n01440764 rather than ids.

    Raises:
        DatasetError: the file cannot be read, or a line is wrong; the message names the line.
    """
    if path.suffix.lower() == ".json":
        return _labels_of_json(path)
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _text_rows(path)
    labels = LabelsByFile()
    for number, name, label, line in rows:
        class_id = _class_id(label, class_map or {})
        if not name or class_id is None:
            known = " (nor is it in the class map)" if class_map and name else ""
            raise DatasetError(f"{path}, line {number}: expected '<filename> <class id>', found '{line}'{known}")
        if class_id >= CLASSES:
            raise DatasetError(f"{path}, line {number}: found class {class_id} in '{line}'; {RANGE}")
        if PurePosixPath(name).name != name:
            raise DatasetError(f"{path}, line {number}: expected a file name without folders, found '{line}'")
        if not labels.add(name, class_id):
            raise DatasetError(f"{path}, line {number}: '{name}' already has the label {labels[name]}, found '{line}'")
    if not labels:
        raise DatasetError(f"{path}: no labels in it; expected '<filename> <class id>' on each line")
    return Labels(labels)


def _labels_of_json(path: Path) -> Labels:
    """Images with several right classes; those with none are not labelled (L. Beyer et al., 2020)."""
    try:
        content = json.loads("\n".join(lines_of(path)))
    except ValueError as error:
        raise DatasetError(f"{path}: no JSON ({error})") from error
    if isinstance(content, list):
        content = {VALIDATION_IMAGE.format(i + 1): ids for i, ids in enumerate(content)}
    labels = LabelsByFile()
    for name, ids in content.items() if isinstance(content, dict) else ():
        ids = [ids] if isinstance(ids, int) else ids
        if not isinstance(ids, list) or not all(type(i) is int and i >= 0 for i in ids):
            raise DatasetError(f"{path}: expected class ids such as [281, 282] for '{name}', found {json.dumps(ids)}")
        if any(i >= CLASSES for i in ids):
            raise DatasetError(f"{path}: '{name}' is class {max(ids)}; {RANGE}")
        if ids:
            labels.add(name, ids[0] if len(ids) == 1 else tuple(ids))
    if not labels:
        raise DatasetError(f'{path}: no labels in it; expected {{"cat.jpg": [281, 282], ...}} or [[281, 282], ...]')
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
    known = {folder: class_id for folder, class_id in ids.items() if class_id is not None}
    beyond = [folder for folder, class_id in known.items() if class_id >= CLASSES]
    if beyond:
        raise DatasetError(f"the folder '{beyond[0]}' is class {known[beyond[0]]}; {RANGE}")
    return Labels(known, by_folder=True, classes=class_map)


def read_class_map(path: Path) -> dict[str, int]:
    """Read class ids by class key, such as {"n01440764": 0}.

    Args:
        path: JSON as torchvision's class_to_idx ({"n01440764": 0}) or imagenet_class_index ({"0": ["n01440764",
            "tench"]}), or text: the key is the first word of line i for class i, from 0 (synsets.txt).

    Raises:
        DatasetError: the file cannot be read, or is neither.
    """
    content = _structured(path)
    if content is None:
        lines = _lines_of_classes(path)
        if not all(lines):
            raise DatasetError(f"{path}, line {lines.index('') + 1}: expected the key of a class, found an empty line")
        keys = [line.split(maxsplit=1)[0] for line in lines]
        classes = {key: i for i, key in enumerate(keys)}
        if len(classes) != len(keys):
            raise DatasetError(f"{path}: {len(keys)} lines, but only {len(classes)} different first words on them")
    else:
        try:
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
    for key, class_id in classes.items():
        if not 0 <= class_id < CLASSES:
            raise DatasetError(f"{path}: '{key}' is class {class_id}; {RANGE}")
    return classes


def read_names(path: Path) -> list[str]:
    """Read the names of the network's classes.

    Args:
        path: text, line i, from 0, for class i; or JSON: a list of names, or imagenet_class_index ({"0": ["n01440764",
            "tench"]}), or names by id as in {0: 'tench'}.

    Returns:
        As many names as the network has classes.

    Raises:
        DatasetError: the file cannot be read, or has another number of names.
    """
    if path.suffix == ".pkl":
        raise DatasetError(
            f"{path}: pickled names are read on the server's side: `resnet50-pynq serve --labels {path.name}`, or made "
            "text by `resnet50-pynq import-network --names`"
        )
    content = _structured(path)
    if content is None:
        names = _lines_of_classes(path)
        if not any(names):
            raise DatasetError(f"{path}: no names in it; expected the name of class i on line i, from 0")
    else:
        try:
            values = content if isinstance(content, list) else [_by_id(content, i) for i in range(len(content))]
            names = [str(value if isinstance(value, str) else value[-1]) for value in values]
        except (TypeError, KeyError, IndexError) as error:
            raise DatasetError(
                f'{path}: no names of classes in it ({error}); expected ["tench", ...] or {{"0": "tench", ...}}'
            ) from error
    if len(names) != CLASSES:
        raise DatasetError(
            f"{path}: {len(names)} names, but the network has {CLASSES} classes (a heading, or a line too many or too "
            "few, would shift every name)"
        )
    return names


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a text file, one by one: UTF-8 with or without a mark, or UTF-16, with any line ends.

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        encoding = "utf-16" if path.is_file() and _begins_wide(path) else "utf-8-sig"
        # File names need not be UTF-8 on Linux; surrogateescape is how Python spells such names in paths as well.
        errors = "strict" if encoding == "utf-16" else "surrogateescape"
        with path.open(encoding=encoding, errors=errors) as file:
            for line in file:
                if "\0" in line:
                    raise DatasetError(f"{path}: no text: it has a zero byte in '{line[:20].encode().hex(' ')}'")
                yield line.removesuffix("\n")
    except OSError as error:
        raise DatasetError(f"cannot read '{path}': {error.strerror}") from error
    except UnicodeError as error:
        raise DatasetError(f"cannot read '{path}': {error} (save it as UTF-8)") from error


def _begins_wide(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) in WIDE


def _lines_of_classes(path: Path) -> list[str]:
    """Line i is about class i; the empty ones at the end are about none."""
    lines = [line.strip() for line in lines_of(path)]
    while lines and not lines[-1]:
        lines.pop()
    if len(lines) > CLASSES:
        raise DatasetError(
            f"{path}: {len(lines)} lines, but the network has {CLASSES} classes (is the first line a heading?)"
        )
    return lines


def sample_remark(names: Mapping[int, str]) -> str:
    """What to say where class names are those of the sample network, which calls the classes it does not know unused.

    Args:
        names: class names by id.

    Returns:
        A remark; "" for any other network.
    """
    known = sum(not UNUSED.fullmatch(name) for name in names.values())
    if known == len(names):
        return ""
    return f"sample network: knows {known} drawn classes (the trained one: README, 'A real card')"


def _structured(path: Path) -> Any:
    """What a file of JSON, or of Python's own notation, says; None for any other text."""
    text = "\n".join(lines_of(path))
    if path.suffix.lower() != ".json" and not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        try:
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise DatasetError(f"{path}: neither JSON ({error}) nor a name on each line") from error


def _by_id(content: Mapping[Any, Any], class_id: int) -> Any:
    return content[class_id] if class_id in content else content[str(class_id)]


def _text_rows(path: Path) -> Iterable[tuple[int, str, str, str]]:
    """Of each line its number, the name, the label and the line itself."""
    for number, line in enumerate(lines_of(path), 1):
        if line.strip():
            name, label = line.rsplit(maxsplit=1) if len(line.split()) > 1 else ("", line)
            yield number, name, label, line


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
