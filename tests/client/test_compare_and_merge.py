"""Runs compared, against SciPy and statsmodels; and runs in parts, put together."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import scipy.stats
from client_support import Run, Start, wait_for_records
from fast import OTHER_UUID, fast_class, make_fast_repository, make_images
from hypothesis import given
from hypothesis import strategies as st
from resnet50_client.commands.compare import summary_lines
from resnet50_client.comparison import Comparison, mcnemar_p, paired_interval
from resnet50_client.errors import DatasetError
from resnet50_client.prediction import Candidate, Prediction
from resnet50_client.results import Results
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server
from servers import running
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW
from test_resume import comparable

COUNT = 400


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_that_of_statsmodels(only_a: int, only_b: int) -> None:
    assert mcnemar_p(only_a, only_b) == pytest.approx(mcnemar([[7, only_a], [only_b, 9]], exact=True).pvalue, rel=1e-9)


def test_mcnemar_of_many_images() -> None:
    from scipy.stats import binomtest

    assert mcnemar_p(6200, 6000) == pytest.approx(binomtest(6000, 12200).pvalue, rel=1e-6)


@pytest.mark.parametrize(
    ("only_a", "only_b", "images"), [(0, 0, 50), (3, 1, 40), (12, 30, 200), (1000, 1100, 50_000), (0, 5, 5)]
)
def test_the_interval_is_walds_with_half_an_image_in_each_cell(only_a: int, only_b: int, images: int) -> None:
    """Computed again from single images: the mean of 1, -1 and 0 with its standard error."""
    both = images - only_a - only_b
    values, weights = np.array([-1.0, 1.0, 0.0]), np.array([only_a + 0.5, only_b + 0.5, both + 1.0])
    mean = np.average(values, weights=weights)
    error = np.sqrt(np.average((values - mean) ** 2, weights=weights) / weights.sum())
    low, high = max(-1, mean - 1.959964 * error), min(1, mean + 1.959964 * error)
    assert paired_interval(only_a, only_b, images) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


def test_the_interval_holds_in_95_of_100_cases() -> None:
    """Of runs with a known difference, at small numbers of images, drawn with a seed."""
    rng = np.random.default_rng(9)
    for images, p in ((30, (0.05, 0.15, 0.8)), (200, (0.02, 0.02, 0.96)), (1000, (0.1, 0.13, 0.77))):
        tables = rng.multinomial(images, p, 2000)
        bounds = [paired_interval(int(a), int(b), images) for a, b, _ in tables]
        assert np.mean([low <= p[1] - p[0] <= high for low, high in bounds]) > 0.93


def run_of(answers: dict[str, tuple[int, int]]) -> Results:
    """A run with these labels and answers."""
    results = Results()
    results.begin(((file, label) for file, (label, _) in answers.items()), {}, resume=False)
    for position, (file, (_, answer)) in enumerate(answers.items()):
        results.record(position, Prediction(file, (Candidate(answer),)))
    return results


def test_a_comparison_counts_pairs() -> None:
    before = {"a": (1, 1), "b": (2, 2), "c": (3, 9), "d": (4, 9), "e": (5, 9), "only a": (6, 6)}
    after = {"e": (5, 5), "d": (4, 8), "c": (3, 9), "b": (2, 7), "a": (1, 1), "only b": (6, 6)}
    comparison = Comparison(run_of(before), run_of(after))
    assert (comparison.images, comparison.a.hits, comparison.b.hits, comparison.equal) == (5, 2, 2, 2)
    assert comparison.changes(was=True, becomes=False) == [("b", 2, 2, 7)]
    assert comparison.changes(was=False, becomes=True) == [("e", 5, 9, 5)]
    assert comparison.changes(was=False, becomes=False) == [("d", 4, 9, 8)]
    assert (comparison.lost, comparison.gained, comparison.p_value) == (1, 1, 1.0)
    assert comparison.scored == (6, 6)
    assert "5 in both (of 6 scored in A and 6 in B), 2 with" in "".join(summary_lines(comparison, (Path(), Path())))
    with pytest.raises(DatasetError, match="no scored image in common"):
        Comparison(run_of(before), run_of({"z": (1, 1)}))
    with pytest.raises(DatasetError, match="'a' has the label 1 in 'None' but 2 in"):
        Comparison(run_of(before), run_of({"a": (2, 1)}))


@pytest.fixture(scope="module")
def val(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "val"
    make_images(folder, COUNT)
    return folder


@pytest.fixture
def job(val: Path, fast_server: Server) -> list[Any]:
    labels = val.with_suffix(".labels.txt")
    return ["accuracy", val, "--labels", labels, "--url", fast_server.grpc_url, "--json", "--concurrency", 4]


def without_latencies(path: Path) -> bytes:
    """An export without its one column that no two runs have in common."""
    lines = path.read_bytes().split(b"\r\n")
    place = lines[0].split(b",").index(b"latency_s")
    assert b'"' not in path.read_bytes()
    return b"\r\n".join(b",".join(cell for i, cell in enumerate(line.split(b",")) if i != place) for line in lines)


@pytest.mark.server
def test_four_parts_of_which_one_is_killed_make_the_whole(
    run: Run, start: Start, job: list[Any], tmp_path: Path
) -> None:
    job += ["--logits", tmp_path / "straight.npy"]
    straight = json.loads(run(*job, "--outfile", tmp_path / "straight.csv").stdout)
    job[-1] = tmp_path / "part.npy"
    parts = [tmp_path / f"part{k}.sqlite" for k in (1, 2, 3, 4)]
    for k, part in enumerate(parts, 1):
        words = [*job, "--shard", f"{k}/4", "--outfile", part]
        if k == 3:
            process = start(*words)
            wait_for_records(part, 10, process)
            process.kill()
            process.wait()
            words.append("--resume")
        done = run(*words)
        assert json.loads(done.stdout)["images"] == COUNT // 4
    assert run(*job, "--shard", "2/4", "--outfile", parts[0], "--resume").returncode == 2  # another part
    done = run("merge", *reversed(parts), "--outfile", tmp_path / "whole.csv")
    assert done.returncode == 0, done.stderr
    assert "280 of 320" in done.stdout
    assert without_latencies(tmp_path / "whole.csv") == without_latencies(tmp_path / "straight.csv")
    job[-1] = tmp_path / "whole.npy"
    resumed = run(*job, "--outfile", tmp_path / "whole.csv", "--resume")
    assert comparable(json.loads(resumed.stdout)) == comparable(straight)
    for suffix in (".npy", ".files.csv"):
        assert (tmp_path / f"whole{suffix}").read_bytes() == (tmp_path / f"straight{suffix}").read_bytes()


@pytest.mark.server
def test_parts_that_do_not_belong_together_are_refused(run: Run, job: list[Any], val: Path, tmp_path: Path) -> None:
    one, two, other = (tmp_path / f"{name}.sqlite" for name in ("one", "two", "other"))
    run(*job, "--shard", "1/3", "--outfile", one)
    run(*job, "--shard", "2/3", "--outfile", two)
    merge = ("merge", "--outfile", tmp_path / "w.sqlite", one)
    shutil.copy(one, tmp_path / "copy.sqlite")
    for again, complaint in ((one, "was given twice"), (tmp_path / "copy.sqlite", "an earlier part answers too")):
        done = run(*merge, again)
        assert (done.returncode, complaint in done.stderr) == (2, True)

    labels = tmp_path / "labels.txt"
    labels.write_text(val.with_suffix(".labels.txt").read_text().replace("00001.jpg ", "nothing.jpg "))
    job[3] = labels
    run(*job, "--shard", "3/3", "--outfile", other)
    done = run(*merge, other)
    assert (
        done.returncode,
        "00001.jpg' with the label None, not '" in done.stderr,
    ) == (2, True)

    job[3] = val.with_suffix(".labels.txt")
    with running(make_fast_repository(tmp_path / "models", uuid=OTHER_UUID)) as server:
        job[job.index("--url") + 1] = server.grpc_url
        run(*job, "--shard", "3/3", "--outfile", tmp_path / "upgraded.sqlite")
    done = run(*merge, two, tmp_path / "upgraded.sqlite")
    assert (done.returncode, "answers of 2 xclbins" in done.stderr) == (2, True)
    assert not (tmp_path / "w.sqlite").exists()

    done = run(*merge, two)  # a part is missing: the whole can be gone on with
    assert done.returncode == 1
    assert f"missing   {COUNT // 3} images have no answer yet" in done.stdout
    done = run(*merge, two)
    assert (done.returncode, "is there already" in done.stderr) == (2, True)


@pytest.mark.server
def test_two_runs_compared(run: Run, job: list[Any], val: Path, tmp_path: Path) -> None:
    """The second run's labels make other images right: the figures against a count of our own, and statsmodels."""
    a, b, moved = tmp_path / "a.sqlite", tmp_path / "b.sqlite", tmp_path / "moved"
    run(*job, "--outfile", a)
    shuffled = random.Random(5)
    # The same names and labels, but other bytes in every tenth file: there the answers differ.
    moved.mkdir()
    (moved / "val").mkdir()
    for path in val.iterdir():
        data = path.read_bytes()
        (moved / "val" / path.name).write_bytes(data + b"x" * (shuffled.random() < 0.1 and not data.startswith(b"bad")))
    truth = dict(line.split() for line in job[3].read_text().splitlines())
    pairs = []
    for path in sorted(val.iterdir()):
        data, other = path.read_bytes(), (moved / "val" / path.name).read_bytes()
        if path.name in truth and not data.startswith(b"bad"):
            pairs.append([fast_class(some) == int(truth[path.name]) for some in (data, other)])
    was, becomes = np.array(pairs).T
    (tmp_path / "original").mkdir()
    backup = val.rename(tmp_path / "original" / "val")
    (moved / "val").rename(val)  # the same paths
    try:
        run(*job, "--outfile", b)
    finally:
        val.rename(moved / "val")
        backup.rename(val)
    done = run("compare", a, b, "--json", "--report", tmp_path / "compare.html")
    found = json.loads(done.stdout)
    assert (found["images"], found["right_in_a"], found["right_in_b"]) == (len(pairs), was.sum(), becomes.sum())
    assert (len(found["lost"]), len(found["gained"])) == ((was & ~becomes).sum(), (~was & becomes).sum())
    table = [[(was & becomes).sum(), (was & ~becomes).sum()], [(~was & becomes).sum(), (~was & ~becomes).sum()]]
    assert found["mcnemar_p"] == pytest.approx(mcnemar(table, exact=True).pvalue)
    text = run("compare", a, b).stdout
    assert re.search(r"^B-A       -\d+\.\d\d points  \(95 % interval -", text, re.M)
    assert "McNemar   p = " in text
    assert text.count("\nlost ") == min(10, len(found["lost"]))
    page = (tmp_path / "compare.html").read_text()
    assert page.count("<figure>") == len(found["lost"]) + len(found["gained"])
    for wrong, complaint in (((a, a), "given twice"), ((a, tmp_path / "none"), "no such file")):
        done = run("compare", *wrong)
        assert (done.returncode, complaint in done.stderr) == (2, True)


@pytest.fixture(scope="module")
def cropping_server(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As `server`, but it decodes by center_crop."""
    deployment = replace(Deployment.of_sample(sample), parameters={"preprocess": {"mode": "center_crop"}})
    with running(deployment.make_repository(tmp_path_factory.mktemp("crop") / "models")) as server:
        yield server


@pytest.mark.server
def test_two_decoders_compared(run: Run, server: Server, cropping_server: Server, sample: Path, tmp_path: Path) -> None:
    """Pictures made twice as wide, by stretching or by bars at the sides: each decoder brings one kind back."""
    folder, labels = tmp_path / "val", sample / "images" / "labels.txt"
    folder.mkdir()
    truth = dict(line.split() for line in labels.read_text().splitlines())
    for i, name in enumerate(sorted(truth)):
        with PIL.Image.open(sample / "images" / name) as picture:
            width, height = picture.size
            if i % 3 == 0:
                wide = picture.resize((2 * width, height))
            else:
                wide = PIL.Image.new("RGB", (2 * width, height), "gray")
                wide.paste(picture, (width // 2, 0))
        wide.save(folder / name, "JPEG", quality=95)
    outcomes = []
    for name, address in (("stretch", server.grpc_url), ("center_crop", cropping_server.grpc_url)):
        outfile = tmp_path / f"{name}.csv"
        run("accuracy", folder, "--labels", labels, "--url", address, "--outfile", outfile, "--json")
        with outfile.open(newline="") as file:
            outcomes.append({row["file"]: int(row["class"]) == int(row["label"]) for row in csv.DictReader(file)})
    was, becomes = (np.array([runs[file] for file in outcomes[0]]) for runs in outcomes)
    runs = (tmp_path / "stretch.sqlite", tmp_path / "center_crop.sqlite")
    found = json.loads(run("compare", *runs, "--json", "--report", tmp_path / "compare.html").stdout)
    lost, gained = int((was & ~becomes).sum()), int((~was & becomes).sum())
    assert min(lost, gained) > 0
    assert (found["images"], len(found["lost"]), len(found["gained"])) == (len(truth), lost, gained)
    # The same by others: McNemar's test is the binomial test of the pairs that differ, and the interval Wald's of the
    # mean of 1, 0 and -1 after half an image was added to each of the four cells.
    assert found["mcnemar_p"] == pytest.approx(scipy.stats.binomtest(lost, lost + gained).pvalue)
    both, neither = int((was & becomes).sum()), int((~was & ~becomes).sum())
    assert found["mcnemar_p"] == pytest.approx(mcnemar([[both, lost], [gained, neither]], exact=True).pvalue)
    added = DescrStatsW(np.array([1.0, -1.0, 0.0]), np.array([gained + 0.5, lost + 0.5, both + neither + 1.0]), ddof=0)
    interval = scipy.stats.norm.interval(0.95, added.mean, added.std / np.sqrt(added.nobs))
    assert (found["low"], found["high"]) == pytest.approx(interval)
    assert found["difference"] == pytest.approx(becomes.mean() - was.mean())
    text = run("compare", *(path.with_suffix(".csv") for path in runs)).stdout  # an export names its run
    for line, hits in (("A", was.sum()), ("B", becomes.sum())):
        low, high = proportion_confint(hits, len(was), method="wilson")
        figures = (
            f"{100 * hits / len(was):5.1f} %  ({hits} of {len(was)}; 95 % interval {100 * low:.1f} to {100 * high:.1f}"
        )
        assert f"{line}         {figures}" in text
    assert "settings  decoding is stretch in A, center_crop in B" in text
    page = (tmp_path / "compare.html").read_text()
    assert page.count('src="data:image/jpeg;base64,') == lost + gained  # a thumbnail of each
    assert "decoding is stretch in A, center_crop in B" in page

    # Neither a merge nor --resume makes one run of two decoders.
    job = ("accuracy", folder, "--labels", labels, "--json", "--shard")
    for k, address in ((1, server.grpc_url), (2, cropping_server.grpc_url)):
        run(*job, f"{k}/2", "--url", address, "--outfile", tmp_path / f"part{k}.sqlite")
    done = run("merge", tmp_path / "part1.sqlite", tmp_path / "part2.sqlite", "--outfile", tmp_path / "whole.sqlite")
    assert (done.returncode, "decoding is center_crop, not stretch" in done.stderr) == (2, True)
    with closing(sqlite3.connect(tmp_path / "part1.sqlite")) as db:
        db.execute("DELETE FROM answer WHERE position = 2")
        db.commit()
    done = run(*job, "1/2", "--resume", "--url", cropping_server.grpc_url, "--outfile", tmp_path / "part1.sqlite")
    assert (done.returncode, "decoded images by stretch, this one decodes by center_crop" in done.stderr) == (2, True)
