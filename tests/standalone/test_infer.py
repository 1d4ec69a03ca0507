"""`resnet50-pynq infer` as a process: the original's flags, file and lines, against an independent computation."""

from __future__ import annotations

import csv
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from resnet50_triton.errors import BadParameter
from resnet50_triton.runtime.kernel import Kernel
from resnet50_triton.standalone.infer import infer
from resnet50_triton.weights import load_fc_weights
from standalone_support import command, deployment, foreign_image

COLUMNS = ["", "File Name", "Prediction"]
STAMPS = [f"{name} TS" for name in ("Start", "Upload Start", "Upload End", "Inference Start", "Inference End")]
STAMPS += ["Download Start TS", "Download End TS"]
TIMES = ["Total Latency", "Preprocessing Time", "Upload Time", "Accelerator Time", "Download Time", "Inference Time"]


@pytest.fixture(scope="session")
def pictures(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 20 of the sample's pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for path in sorted((sample / "images").glob("*.JPEG"))[::4][:20]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="session")
def expected(sample: Path, pictures: Path) -> dict[str, list[int]]:
    """Each picture's five classes: read and resized by OpenCV as in the original, computed in one batch."""
    paths = sorted(pictures.iterdir())
    pixels = np.stack([cv2.resize(cv2.imread(str(path)), (224, 224)) for path in paths])
    with Kernel(sample / "card.xclbin", load_fc_weights(sample / "fcweights.csv"), "software:0") as kernel:
        return dict(zip([path.name for path in paths], kernel.run(pixels).top5.tolist(), strict=True))


def read(path: Path) -> tuple[list[str], dict[str, dict[str, str]]]:
    """The header, and the rows by file name without folders."""
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        rows = {Path(row["File Name"]).name: row for row in reader}
    return list(reader.fieldnames or ()), rows


def classes(row: dict[str, str]) -> list[int]:
    return [int(word) for word in row["Prediction"].strip("[]").split()]


def figure(name: str, text: str) -> float:
    match = re.search(rf"^{re.escape(name)}: (\S+)$", text, re.MULTILINE)
    assert match, text
    return float(match[1])


@pytest.mark.parametrize(
    "options",
    [
        (),  # the defaults: batches of 1, one worker
        ("--max_bs", 7, "--preprocess_workers", 3, "--card", "software:1"),
        ("--max_bs", 64, "--preprocess_workers", 2),
    ],
)
def test_predictions(
    sample: Path, pictures: Path, expected: dict[str, list[int]], tmp_path: Path, options: Sequence[object]
) -> None:
    out = tmp_path / "out.csv"
    result = command("infer", *deployment(sample), "--img_path", pictures, "--outfile", out, *options)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    header, rows = read(out)
    assert header == COLUMNS
    assert {name: classes(row) for name, row in rows.items()} == expected
    assert f"Card: {'software:1' if 'software:1' in options else 'software:0'} (software card" in result.stdout
    duration_s = figure("Duration for 20 images", result.stdout)
    assert figure("FPS", result.stdout) == pytest.approx(20 / duration_s)


def test_profile_and_accuracy(sample: Path, pictures: Path, expected: dict[str, list[int]], tmp_path: Path) -> None:
    names = sorted(expected)
    # Labels that make 8 right at once, 4 among the five, 6 wrong; two pictures have none.
    truth = {name: expected[name][0] for name in names[:8]}
    truth |= {name: expected[name][3] for name in names[8:12]}
    truth |= {name: next(c for c in range(1000) if c not in expected[name]) for name in names[12:18]}
    labels, out = tmp_path / "labels.txt", tmp_path / "out.csv"
    labels.write_text("".join(f"{name} {label}\n" for name, label in truth.items()) + "\nanother.jpg 3\n")
    options = ("--max_bs", 4, "--profile", "--labels", labels, "--outfile", out)
    result = command("infer", *deployment(sample), "--img_path", pictures, *options)
    assert result.returncode == 0, result.stderr
    assert figure("Top-1 Accuracy", result.stdout) == 8 / 18
    assert figure("Top-5 Accuracy", result.stdout) == 12 / 18
    assert "Accuracy is over 18 images (0 failed, 2 without a label)" in result.stdout

    header, rows = read(out)
    assert header == [*COLUMNS, *STAMPS, *TIMES]
    for row in rows.values():
        stamps = [float(row[name]) for name in STAMPS]
        assert stamps == sorted(stamps)
        start, up, uploaded, running, done, down, end = stamps
        derived = [end - start, up - start, uploaded - up, done - running, end - down, end - up]
        assert [float(row[name]) for name in TIMES] == pytest.approx(derived)
    for word in (*TIMES, "count", "mean", "std", "25%", "50%", "75%", "max"):
        assert word in result.stdout
    assert re.search(r"^count( +20\.0+){6}$", result.stdout, re.MULTILINE)


def test_several_cards_and_names_of_the_originals_pickle(
    sample: Path, pictures: Path, expected: dict[str, list[int]], tmp_path: Path
) -> None:
    """What the original's MPI script is for, and its notebook's labels.pkl."""
    names, pickled, out = [f"thing {i}, no {i}" for i in range(1000)], tmp_path / "labels.pkl", tmp_path / "out.csv"
    pickled.write_bytes(pickle.dumps(dict(enumerate(names))))
    options = ("--card", "software:0,software:1", "--max_bs", 4, "--names", pickled, "--outfile", out)
    result = command("infer", *deployment(sample), "--img_path", pictures, *options)
    assert result.returncode == 0, result.stderr
    assert "software:0" in result.stdout.splitlines()[0]
    assert "software:1" in result.stdout.splitlines()[0]
    header, rows = read(out)
    assert header == [*COLUMNS, "Class Name"]
    assert {name: classes(row) for name, row in rows.items()} == expected
    assert {name: row["Class Name"] for name, row in rows.items()} == {n: names[ids[0]] for n, ids in expected.items()}


def test_one_image_on_the_screen(sample: Path, pictures: Path, expected: dict[str, list[int]]) -> None:
    name = sorted(expected)[3]
    result = command("infer", *deployment(sample), "--img_path", pictures / name, "--profile")
    assert result.returncode == 0, result.stderr
    row = next(line for line in result.stdout.splitlines() if name in line)
    assert f"[{' '.join(map(str, expected[name]))}]" in row
    assert "Total Latency" in result.stdout
    figure("Duration for 1 images", result.stdout)


def test_bad_images_are_reported_and_the_others_answered(
    sample: Path, pictures: Path, expected: dict[str, list[int]], tmp_path: Path
) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(pictures, folder)
    good = sorted(expected)
    (folder / "corrupt.jpg").write_bytes((pictures / good[0]).read_bytes()[:300])
    (folder / "empty.jpg").touch()
    (folder / "notes.txt").write_text("not an image")
    (folder / "below").mkdir()
    labels, out = folder / "labels.txt", folder / "out.csv"  # in the same folder: neither is taken for an image
    out.write_text("of an earlier run")
    labels.write_text("".join(f"{name} {expected[name][0]}\n" for name in good) + "corrupt.jpg 1\n")
    options = ("--max_bs", 4, "--labels", labels, "--outfile", out, "--profile")
    result = command("infer", *deployment(sample), "--img_path", folder, *options)
    assert result.returncode == 0, result.stderr
    reported = result.stderr.splitlines()
    assert [Path(line.split(": ")[1]).name for line in reported[:-1]] == ["corrupt.jpg", "empty.jpg", "notes.txt"]
    assert reported[-1] == "resnet50-pynq: 3 of 23 files failed"
    _, rows = read(out)
    assert {name: classes(row) for name, row in rows.items() if row["Prediction"]} == expected
    assert sorted(name for name, row in rows.items() if not row["Prediction"]) == [
        "corrupt.jpg",
        "empty.jpg",
        "notes.txt",
    ]
    assert figure("Top-1 Accuracy", result.stdout) == 1.0
    assert "Accuracy is over 20 images (3 failed, 0 without a label)" in result.stdout
    figure("Duration for 20 images", result.stdout)


def test_an_interrupt_ends_it_at_once(sample: Path, pictures: Path, tmp_path: Path) -> None:
    for i in range(2000):  # a minute's work
        (tmp_path / f"{i}.jpg").symlink_to(sorted(pictures.iterdir())[i % 20])
    argv = [sys.executable, "-m", "resnet50_triton.cli", "infer", *map(str, deployment(sample))]
    argv += ["--img_path", str(tmp_path), "--max_bs", "8", "--preprocess_workers", "2"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Card: ")
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)  # taken as Ctrl-C is, which a background job may be deaf to
    out, errors = process.communicate(timeout=15)
    assert (process.returncode, out, errors) == (130, "", "")


def test_nothing_but_bad_images_is_a_failure(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "labels.txt").write_text("bad.jpg 1\n")
    options = ("--img_path", tmp_path, "--labels", tmp_path / "labels.txt", "--profile")
    result = command("infer", *deployment(sample), *options)
    assert result.returncode == 1
    assert "1 of 1 files failed" in result.stderr
    assert "Accuracy: no image that was classified has a label (1 failed, 0 without a label)" in result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"img_path": "nowhere"}, "--img_path nowhere: no such file or folder"),
        ({"img_path": "empty"}, "--img_path empty: the folder holds no files"),
        ({"labels": "labels"}, "line 2 is 'b.jpg tench', expected '<filename> <class id"),
        ({"labels": "twice"}, "line 3 gives a.jpg another class"),
        ({"labels": "nowhere"}, "--labels nowhere: cannot be read"),
        ({"names": "good"}, "class names good: 1 names, expected 1000"),
        ({"outfile": "nowhere/out.csv"}, "there is no folder nowhere; make it first"),
        ({"labels": "good", "card": "timing:0"}, "card 'timing:0' computes nothing"),
    ],
)
def test_mistakes_are_told_before_any_work(
    sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("labels").write_text("a.jpg 1\nb.jpg tench\n")
    Path("twice").write_text("a.jpg 1\n\na.jpg  2\n")
    Path("good").write_text("a.jpg 1\n")
    paths = {name: Path(value) for name, value in options.items() if name != "card"}
    arguments = {"img_path": Path("good"), **paths}
    with pytest.raises(BadParameter, match=re.escape(message)):
        infer(sample / "card.xclbin", sample / "fcweights.csv", card=options.get("card"), **arguments)
    assert capsys.readouterr().out == ""


def test_an_image_for_an_alveo_never_runs_on_a_software_card(sample: Path, pictures: Path, tmp_path: Path) -> None:
    image = foreign_image(sample, tmp_path / "foreign.xclbin")
    words = ("infer", "--xclbin", image, "--fcweights", sample / "fcweights.csv", "--img_path", pictures)
    result = command(*words)
    assert result.returncode == 1
    assert "card 'xrt:0': XRT is not set up" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_flags_are_the_originals() -> None:
    text = command("infer", "--help").stdout
    flags = set(re.findall(r"--\w+", text)) - {"--help"}
    originals = "xclbin fcweights img_path max_bs preprocess_workers profile outfile labels"
    assert flags == {f"--{name}" for name in originals.split()} | {"--card", "--names"}
    assert text.count("(default: 1)") == 2
    for missing in ("--xclbin", "--fcweights", "--img_path"):
        given = {"--xclbin": "a", "--fcweights": "b", "--img_path": "c"}
        del given[missing]
        result = command("infer", *(word for pair in given.items() for word in pair))
        assert result.returncode == 2
        assert f"required: {missing}" in result.stderr
