"""Find images on disk, and read labels and class names. Nothing is decoded here and no image is opened."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from resnet50_client.errors import DatasetError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"})


@dataclass(frozen=True)
class Images:
    """Paths to classify, in order, and how many files of the folders were passed over as no images."""

    paths: tuple[Path, ...]
    ignored: int = 0


def find_images(paths: Iterable[Path], named: Collection[str] = frozenset()) -> Images:
    """List the images at some paths.

    Args:
        paths: files, taken whatever their suffix, and folders, searched to any depth.
        named: file names that are images even if their suffix does not say so (those with a label).

    Returns:
        Files in the order given, those of a folder sorted.

    Raises:
        DatasetError: a path that does not exist, or a folder without an image.
    """
    found: list[Path] = []
    ignored = 0
    for path in paths:
        if path.is_dir():
            files = [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
            images = sorted(file for file in files if file.name in named or _looks_like_image(file))
            if not images:
                raise DatasetError(f"no images in folder '{path}' ({len(files)} files; looked for {_suffix_list()})")
            ignored += len(files) - len(images)
            found += images
        elif path.exists():
            found.append(path)
        else:
            raise DatasetError(f"no such file or folder: '{path}'")
    return Images(tuple(found), ignored)


def read_labels(path: Path) -> dict[str, int]:
    """Read a labels file: on each line a file name, a space and a class id.

    Args:
        path: a text file. Names are without folders and may contain spaces; empty lines are skipped.

    Returns:
        Class ids by file name.

    Raises:
        DatasetError: the file cannot be read, or a line is wrong; the message names the line.
    """
    labels: dict[str, int] = {}
    for number, line in enumerate(_read_lines(path), 1):
        if not line.strip():
            continue
        name, _, label = line.rstrip().rpartition(" ")
        name = name.rstrip()
        if not name or not label.isascii() or not label.isdigit():
            raise DatasetError(f"{path}, line {number}: expected '<filename> <class id>', found '{line}'")
        if PurePosixPath(name).name != name:
            raise DatasetError(f"{path}, line {number}: expected a file name without folders, found '{line}'")
        if name in labels:
            raise DatasetError(f"{path}, line {number}: '{name}' already has the label {labels[name]}, found '{line}'")
        labels[name] = int(label)
    if not labels:
        raise DatasetError(f"{path}: no labels in it; expected '<filename> <class id>' on each line")
    return labels


def read_names(path: Path) -> list[str]:
    """Read class names: line i, from 0, is the name of class i.

    Raises:
        DatasetError: the file cannot be read or is empty.
    """
    names = [line.strip() for line in _read_lines(path)]
    if not any(names):
        raise DatasetError(f"{path}: no names in it; expected the name of class i on line i, from 0")
    return names


def _read_lines(path: Path) -> list[str]:
    try:
        # File names need not be UTF-8 on Linux; surrogateescape is how Python spells such names in paths as well.
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DatasetError(f"cannot read '{path}': {error.strerror}") from error
    return text.replace("\r\n", "\n").split("\n")


def _looks_like_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _suffix_list() -> str:
    return ", ".join(sorted(SUFFIXES))
