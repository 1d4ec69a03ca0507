"""The FC weights file: every accepted form gives the same array, every other one says what is wrong and where."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from resnet50_triton.errors import BadWeights, SetupError
from resnet50_triton.tensors import CLASSES, FEATURES
from resnet50_triton.weights import load_fc_weights, save_fc_weights


@pytest.fixture(scope="module")
def weights() -> NDArray[np.int8]:
    return np.random.default_rng(7).integers(-128, 128, (CLASSES, FEATURES), dtype=np.int8)


@pytest.fixture(scope="module")
def published(weights: NDArray[np.int8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "fcweights.csv"
    save_fc_weights(path, weights)
    return path


@pytest.fixture(scope="module")
def rows(weights: NDArray[np.int8]) -> tuple[str, ...]:
    return tuple(",".join(map(str, row)) for row in weights.tolist())


def test_the_published_format_is_one_line_with_a_trailing_comma(published: Path, weights: NDArray[np.int8]) -> None:
    text = published.read_text()
    assert text.startswith(f"{weights[0, 0]},{weights[0, 1]},")
    assert text.endswith(f",{weights[-1, -1]},")
    assert text.count(",") == CLASSES * FEATURES
    assert "\n" not in text


def test_what_is_saved_is_loaded(published: Path, weights: NDArray[np.int8]) -> None:
    loaded = load_fc_weights(published)
    assert loaded.dtype == np.int8
    assert loaded.flags.c_contiguous
    np.testing.assert_array_equal(loaded, weights)


@pytest.mark.parametrize("end", ["\n", ",\n", "\r\n", ", \r\n"])
def test_a_thousand_lines(tmp_path: Path, weights: NDArray[np.int8], rows: tuple[str, ...], end: str) -> None:
    path = tmp_path / "lines.csv"
    path.write_bytes(end.join([*rows, ""]).encode())
    np.testing.assert_array_equal(load_fc_weights(path), weights)


def test_unusual_spellings_of_integers(tmp_path: Path, weights: NDArray[np.int8], rows: tuple[str, ...]) -> None:
    path = tmp_path / "spelled.csv"
    lines = list(rows)
    lines[0] = ", ".join(f"{value:+04d}" for value in weights[0].tolist())
    path.write_text("\n".join(lines))
    np.testing.assert_array_equal(load_fc_weights(path), weights)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, ">i4"])
@pytest.mark.parametrize("shape", [(CLASSES, FEATURES), (CLASSES * FEATURES,)])
def test_npy(tmp_path: Path, weights: NDArray[np.int8], dtype: str, shape: tuple[int, ...]) -> None:
    path = tmp_path / "weights.npy"
    np.save(path, weights.astype(dtype).reshape(shape))
    loaded = load_fc_weights(path)
    np.testing.assert_array_equal(loaded, weights)
    loaded[0, 0] = 1  # the caller's own array, not a read-only view of the file


def test_npy_in_fortran_order(tmp_path: Path, weights: NDArray[np.int8]) -> None:
    path = tmp_path / "weights.npy"
    np.save(path, np.asfortranarray(weights))
    loaded = load_fc_weights(path)
    assert loaded.flags.c_contiguous
    np.testing.assert_array_equal(loaded, weights)


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("1.0", "found '1.0'"),
        ("1e1", "found '1e1'"),
        ("nan", "found 'nan'"),
        ("", "found nothing"),
        ("0x10", "found '0x10'"),
        ("1_0", "found '1_0'"),
        ("1 2", "found '1 2'"),
        ("\x00", r"found '\x00'"),
        ("٣", "found "),  # a digit to int(), and not to us
        ("9" * 5000, "found '9999"),
        ("128", "128 is out of range"),
        ("-129", "-129 is out of range"),
    ],
)
def test_a_bad_field_is_located(tmp_path: Path, rows: tuple[str, ...], field: str, found: str) -> None:
    path = tmp_path / "bad.csv"
    lines = list(rows)
    parts = lines[41].split(",")
    parts[2046] = field
    lines[41] = ",".join(parts)
    path.write_text("\n".join(lines))
    with pytest.raises(BadWeights) as caught:
        load_fc_weights(path)
    message = str(caught.value)
    assert f"{path}: line 42, field 2047: {found}" in message
    assert "expected" in message
    assert len(message) < 300 + len(str(path))


def test_a_bad_field_of_the_one_line_form_is_located(tmp_path: Path, published: Path) -> None:
    parts = published.read_text().split(",")
    parts[1_234_566] = "abc"
    path = tmp_path / "bad.csv"
    path.write_text(",".join(parts))
    with pytest.raises(BadWeights, match=r"line 1, field 1234567: found 'abc', expected an integer -128..127"):
        load_fc_weights(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, field 1: found nothing"),
        ("1,2,3", "line 1 of 1 has 3 fields, expected 2048000"),
        ("1," * 2_048_001, "line 1 of 1 has 2048001 fields, expected 2048000"),
        ("1\n" * 999, "999 lines, expected one line of 2048000 fields or 1000 of 2048"),
        ("1\n" * 1000, "line 1 of 1000 has 1 fields, expected 2048"),
        (("1," * 1000 + "\n") * 2048, "2048 lines, expected"),
        (("1," * 2048 + "\n") * 999 + "1," * 2047, "line 1000 of 1000 has 2047 fields, expected 2048"),
    ],
)
def test_wrong_counts(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "count.csv"
    path.write_text(text)
    with pytest.raises(BadWeights) as caught:
        load_fc_weights(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((CLASSES, FEATURES), np.float32), "values are float32, expected integers"),
        (np.zeros((CLASSES, FEATURES), bool), "values are bool, expected integers"),
        (np.zeros((FEATURES, CLASSES), np.int8), r"shape is (2048, 1000) (transposed?)"),
        (np.zeros(7, np.int8), "shape is (7,)"),
        (np.array(3), "shape is ()"),
    ],
)
def test_wrong_arrays(tmp_path: Path, array: NDArray[np.int8], message: str) -> None:
    path = tmp_path / "wrong.npy"
    np.save(path, array)
    with pytest.raises(BadWeights) as caught:
        load_fc_weights(path)
    assert message in str(caught.value)
    with pytest.raises(BadWeights) as caught:
        save_fc_weights(tmp_path / "out.csv", array)
    assert message in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


def test_npy_out_of_range_is_located(tmp_path: Path, weights: NDArray[np.int8]) -> None:
    wide = weights.astype(np.int64)
    wide[3, 5], wide[9, 9] = 128, -(2**40)
    path = tmp_path / "wide.npy"
    np.save(path, wide)
    with pytest.raises(BadWeights, match=r"value at \[3, 5\] is 128, expected -128..127 \(2 values are out of range\)"):
        load_fc_weights(path)


def test_npy_of_python_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pickle.npy"
    np.save(path, np.array([{}, None]), allow_pickle=True)
    with pytest.raises(BadWeights, match=r"not a readable .npy file"):
        load_fc_weights(path)


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"cannot read fc weights .*absent.csv: No such file"):
        load_fc_weights(tmp_path / "absent.csv")
    with pytest.raises(BadWeights, match=r"Is a directory"):
        load_fc_weights(tmp_path)
    (tmp_path / "text.npy").write_text("1,2,3")
    with pytest.raises(BadWeights, match=r"text.npy: not a .npy file \(it starts with 31 2c 32 2c 33, not 93 4e 55"):
        load_fc_weights(tmp_path / "text.npy")


def test_a_failed_save_leaves_nothing_behind(tmp_path: Path, weights: NDArray[np.int8]) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(SetupError, match=r"cannot write .*folder: Is a directory"):
        save_fc_weights(tmp_path / "folder", weights)
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]
    with pytest.raises(SetupError, match=r"cannot write .*No such file"):
        save_fc_weights(tmp_path / "absent" / "f.csv", weights)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_npy_bytes_give_weights_or_bad_weights(tmp_path: Path, data: st.DataObject) -> None:
    """Any header after the magic gives int8 (1000, 2048) or BadWeights, nothing else."""
    path = tmp_path / "fuzz.npy"
    np.save(path, np.zeros((2, 3), np.int8))
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(6, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(6, len(raw)))])
    with pytest.raises(BadWeights):  # six values are never 2,048,000
        load_fc_weights(path)


def test_the_published_size_loads_well_under_a_second(published: Path) -> None:
    started_s = time.process_time()  # not the wall clock: the machine may be busy with something else
    load_fc_weights(published)
    assert time.process_time() - started_s < 0.9


def test_the_shared_head(shared_data: Path) -> None:
    loaded = load_fc_weights(shared_data / "fcweights.csv")
    assert loaded.shape == (CLASSES, FEATURES)
    assert len(np.unique(loaded)) > 100
