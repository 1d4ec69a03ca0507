"""Lists and dictionaries on disk behave as Python's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from resnet50_client.ondisk import CHUNK, DiskDict, DiskList

# Any text, lone surrogates included, as names of files and messages of servers may have them.
TEXT = st.text(st.characters())


@given(st.lists(TEXT), st.integers(-5, 5), st.integers(-5, 5))
def test_a_list_is_as_pythons(entries: list[str], start: int, stop: int) -> None:
    on_disk = DiskList()
    on_disk.extend(entries)
    assert list(on_disk) == entries
    assert on_disk[start:stop] == entries[start:stop]
    assert list(on_disk.starting_at(abs(start))) == entries[abs(start) :]
    assert list(on_disk.sorted()) == sorted(entries)
    assert bool(on_disk) == bool(entries)
    if entries:
        assert (on_disk[0], on_disk[-1]) == (entries[0], entries[-1])
    with pytest.raises(IndexError):
        on_disk[len(entries)]


def test_a_list_of_several_chunks_grows_while_it_is_read() -> None:
    rows: list[tuple[Any, ...]] = [(f"{i}", i / 8, None if i % 2 else i) for i in range(2 * CHUNK + 3)]
    on_disk = DiskList(columns=3)
    on_disk.extend(rows[: CHUNK + 1])
    seen = []
    for row in on_disk:
        seen.append(row)
        if len(on_disk) < len(rows):
            on_disk.append(rows[len(on_disk)])
    assert seen == rows
    assert np.array_equal(on_disk.column(1), [i / 8 for i in range(len(rows))])
    assert np.array_equal(on_disk.column(2), range(0, len(rows), 2))


@given(st.dictionaries(TEXT, st.integers(0, 999)), st.lists(TEXT), TEXT)
def test_a_dictionary_is_as_pythons(entries: dict[str, int], others: list[str], new: str) -> None:
    on_disk = DiskDict()
    assert all(on_disk.add(*entry) for entry in entries.items())
    assert list(on_disk.items()) == list(entries.items())
    assert len(on_disk) == len(entries)
    assert on_disk.get(new) == entries.get(new)
    for _ in range(2):
        assert list(on_disk.without([*others, *others])) == sorted(set(entries) - set(others))
    assert on_disk.add(new, 1000) == (new not in entries)
    assert on_disk[new] == entries.get(new, 1000)
