"""Class names as people have them; a pickle is read without executing anything in it."""

from __future__ import annotations

import os
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resnet50_triton.class_names import read_class_names
from resnet50_triton.errors import BadParameter

NAMES = [f"thing {i}, Res {i}" for i in range(1000)]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("names", [NAMES, dict(enumerate(NAMES))], ids=["list", "dict"])
def test_pickles_of_every_protocol(tmp_path: Path, names: Any, protocol: int) -> None:
    path = tmp_path / "labels.pkl"
    path.write_bytes(pickle.dumps(names, protocol))
    assert read_class_names(path) == NAMES


def test_a_pickle_of_python_2(tmp_path: Path) -> None:
    rows = "".join(f"I{i}\nS'{name}'\np{i + 1}\ns" for i, name in enumerate(NAMES))
    (tmp_path / "labels.pkl").write_bytes(f"(dp0\n{rows}.".encode())
    assert read_class_names(tmp_path / "labels.pkl") == NAMES


def test_text(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\ufeff" + "\n".join(NAMES) + "\n", encoding="utf-8")
    assert read_class_names(tmp_path / "names.txt") == NAMES


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (pickle.dumps([*NAMES[1:], Evil()]), r"byte \d+ asks for (STACK_)?GLOBAL.* nothing of it was executed"),
        (b"cos\nsystem\n(S'touch executed'\ntR.", "byte 0 asks for GLOBAL"),
        (b"\x80\x04]r\xff\xff\xff\x7f.", "byte 3 asks for LONG_BINPUT"),  # a place for 2 thousand million objects
        (pickle.dumps(NAMES[:999]), "999 names, expected 1000"),
        (pickle.dumps({i + 1: name for i, name in enumerate(NAMES)}), "something else than a list"),
        (pickle.dumps(list(range(1000))), "something else than a list"),
        (pickle.dumps("tench"), "something else than a list"),
        (pickle.dumps(NAMES)[:-20], "class names"),
        (b"", "class names"),
        (b"s.", "no pickle that can be read"),
    ],
)
def test_what_is_no_pickle_of_names_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.pkl").write_bytes(data)
    with pytest.raises(BadParameter, match=complaint):
        read_class_names("labels.pkl")
    assert os.listdir() == ["labels.pkl"]  # noqa: PTH208


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match=re.escape(f"cannot read class names {tmp_path}/none.pkl: No such file")):
        read_class_names(tmp_path / "none.pkl")


OPERATIONS = [code.code.encode("latin-1") for code in pickletools.opcodes]


@given(st.lists(st.sampled_from(OPERATIONS) | st.binary(max_size=4), max_size=12))
def test_whatever_the_bytes_it_is_refused(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    """No sequence of operations raises anything but BadParameter."""
    path = tmp_path_factory.getbasetemp() / "some.pkl"
    path.write_bytes(b"".join(parts) + b".")
    with pytest.raises(BadParameter):
        read_class_names(path)
