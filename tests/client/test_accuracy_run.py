"""Accuracy runs with every source, label format, transport and output, on a model whose answers are known."""

from __future__ import annotations

import base64
import csv
import json
import re
import subprocess
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client_support import Run
from fast import OTHER_UUID, UUID, fast_class, make_fast_repository, make_images
from PIL import Image
from resnet50_triton.server.process import Server
from servers import running

pytestmark = pytest.mark.server

COUNT = 50  # 35 right, 5 wrong, 5 unlabelled, 5 refused


@pytest.fixture(scope="module")
def val(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images, with its labels beside it."""
    folder = tmp_path_factory.mktemp("data") / "val"
    make_images(folder, COUNT)
    return folder


@pytest.fixture
def labels(val: Path) -> Path:
    return val.with_suffix(".labels.txt")


@pytest.fixture(scope="module")
def other_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A second fast server, with another xclbin and a clock that is an hour slow."""
    repository = make_fast_repository(tmp_path_factory.mktemp("o") / "models", uuid=OTHER_UUID, clock_ns=-3600 * 10**9)
    with running(repository) as server:
        yield server


@pytest.fixture
def fast_grpc(fast_server: Server) -> str:
    """The fast server's URL, for what has nothing to do with the protocol."""
    return f"grpc://{fast_server.grpc_url}"


def figures(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The summary that a run printed as JSON, after the checks that hold for each over `val`."""
    summary: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr  # five images failed
    assert (summary["top1"]["hits"], summary["top1"]["of"], summary["images"]) == (35, 40, COUNT)
    assert len(summary["failed"]) == 5
    return summary


def test_known_right_wrong_failed_and_unlabelled(run: Run, fast_url: str, val: Path, labels: Path) -> None:
    """The figures against a count of our own over files, labels and the model's rule."""
    truth = dict(line.split() for line in labels.read_text().splitlines())
    fates: Counter[str] = Counter()
    for path in val.iterdir():
        image = path.read_bytes()
        if image.startswith(b"bad"):
            fates["failed"] += 1
        elif path.name not in truth:
            fates["unlabelled"] += 1
        else:
            rank = (int(truth[path.name]) - fast_class(image)) % 1000
            fates["scored"] += 1
            fates["right"] += rank == 0
            fates["in top 5"] += rank < 5
    summary = figures(run("accuracy", val, "--labels", labels, "--url", fast_url, "--json"))
    assert (summary["top1"]["hits"], summary["top5"]["hits"]) == (fates["right"], fates["in top 5"])
    assert summary["scored"] == fates["scored"]
    assert [len(summary[kind]) for kind in ("failed", "unlabelled")] == [fates["failed"], fates["unlabelled"]]
    assert {entry["error"] for entry in summary["failed"]} == {"this image is bad"}
    assert summary["missing"] == ["gone.jpg"]
    assert summary["cards"] == {"software:7": 45}
    assert summary["xclbins"] == {UUID: 45}
    assert summary["skipped"] == {}
    assert summary["passed"] is False
    assert summary["reason"] == "5 images failed"
    worst = summary["worst_classes"][:5]
    assert [(entry["right"], entry["of"]) for entry in worst] == [(0, 1)] * 5
    assert worst[0]["name"] == f"thing {worst[0]['class']}"


def test_zip_and_list(run: Run, fast_grpc: str, val: Path, labels: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "val.zip", "w") as archive:
        for path in val.iterdir():
            archive.write(path, f"inside/{path.name}")
    (tmp_path / "list.txt").write_text("\n".join(map(str, sorted(val.iterdir()))))
    for source in ("val.zip", "list.txt"):
        figures(run("accuracy", tmp_path / source, "--labels", labels, "--url", fast_grpc, "--json"))


def test_csv_labels_with_class_keys(run: Run, fast_grpc: str, val: Path, labels: Path, tmp_path: Path) -> None:
    rows = [line.rsplit(" ", 1) for line in labels.read_text().splitlines()]
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(f"{name},n{label}\n" for name, label in rows))
    (tmp_path / "map.json").write_text(json.dumps({f"n{i}": i for i in range(1000)}))
    options = ("--labels", tmp_path / "labels.csv", "--class-map", tmp_path / "map.json")
    figures(run("accuracy", val, *options, "--url", fast_grpc, "--json"))


def test_folders_as_labels(run: Run, fast_grpc: str, tmp_path: Path) -> None:
    for i in range(12):
        image = f"image {i}".encode()
        label = (fast_class(image) + (i >= 9)) % 1000  # three have the second best for their label
        path = tmp_path / f"n{label:08}" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(image)
    (tmp_path / "synsets.txt").write_text("".join(f"n{i:08} thing\n" for i in range(1000)))
    options = ("--labels", "folders", "--class-map", tmp_path / "synsets.txt", "--url", fast_grpc, "--json")
    done = run("accuracy", tmp_path, *options)
    summary = json.loads(done.stdout)
    assert done.returncode == 0
    assert (summary["top1"]["hits"], summary["top5"]["hits"], summary["scored"]) == (9, 12, 12)
    done = run("accuracy", tmp_path, "--labels", "folders", "--url", fast_grpc)
    assert done.returncode == 2
    assert "name a --class-map" in done.stderr


def test_results_say_card_xclbin_and_times(run: Run, fast_grpc: str, val: Path, labels: Path, tmp_path: Path) -> None:
    options = ("accuracy", val, "--labels", labels, "--url", fast_grpc, "--profile")
    run(*options, "--outfile", tmp_path / "r.csv")
    run(*options, "--outfile", tmp_path / "r.jsonl")
    rows = list(csv.DictReader((tmp_path / "r.csv").open(newline="")))
    answers = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert len(rows) == len(answers) == COUNT
    for row, answer in zip(rows, answers, strict=True):
        assert row["file"] == answer["file"]
        if answer["error"]:
            assert (row["verdict"], row["error"]) == ("failed", "this image is bad")
            continue
        assert (row["card"], row["xclbin_uuid"]) == ("software:7", UUID)
        assert row["server"] == answer["server"] == fast_grpc
        times = [int(row[f"{name}_ns"]) for name in SEVEN]
        assert times == sorted(times)
        assert float(row["accelerator_s"]) == pytest.approx((times[4] - times[3]) / 1e9)
        assert float(row["inference_s"]) == pytest.approx((times[6] - times[1]) / 1e9)
        parts = ("client_s", "preprocessing_s", "queue_s", "inference_s")
        assert float(row["total_s"]) == pytest.approx(sum(float(row[part]) for part in parts))
        assert set(answer["derived_s"]) == {column.removesuffix("_s") for column in row if column in DERIVED}


SEVEN = ("start", "upload_start", "upload_end", "kernel_start", "kernel_end", "download_start", "download_end")
DERIVED = [f"{name}_s" for name in ("total", "client", "preprocessing", "queue", "upload", "accelerator")]
DERIVED += ["download_s", "inference_s"]


def test_profile_shows_a_table_a_verdict_and_a_trace(
    run: Run, fast_grpc: str, val: Path, labels: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "run.trace.json"
    done = run("accuracy", val, "--labels", labels, "--url", fast_grpc, "--show", "none", "--trace", trace)
    table = done.stdout[done.stdout.index("times, ms") :].splitlines()
    assert table[0].split() == ["times,", "ms", "count", "mean", "std", "min", "25%", "50%", "75%", "max"]
    assert [line.split()[0] for line in table[1:9]] == [column.removesuffix("_s") for column in DERIVED]
    assert all(line.split()[1] == "45" for line in table[1:9])
    assert re.match(r"busy: \w+ \d+ %(, \w+ \d+ %)+; images in a batch, on average: \d", table[9])
    assert re.match(r"the bottleneck is the \w+, busy|no bottleneck found", table[10])
    events = json.loads(trace.read_text())
    images = [event for event in events if event["name"] == "image"]
    assert len(images) == COUNT
    assert {event["args"]["file"] for event in images} == {str(path) for path in val.iterdir()}
    assert max(event["tid"] for event in images) < 64
    assert [event["args"]["images"] for event in events if event["name"] == "kernel"]


def test_a_wrong_clock_on_the_server_does_no_harm(
    run: Run, other_server: Server, val: Path, labels: Path, tmp_path: Path
) -> None:
    options = ("--url", other_server.grpc_url, "--profile", "--trace", tmp_path / "t.json")
    summary = figures(run("accuracy", val, "--labels", labels, *options, "--json"))
    assert 0 <= summary["profile_s"]["preprocessing"]["min"] <= summary["profile_s"]["total"]["max"] < 60
    starts = [e["ts"] for e in json.loads((tmp_path / "t.json").read_text()) if e["ph"] == "X"]
    assert max(starts) - min(starts) < 60e6


def test_the_report_is_one_file_with_everything(run: Run, server: Server, sample: Path, tmp_path: Path) -> None:
    """On the sample with two labels made wrong, one image corrupt, and one file name that is HTML."""
    folder = tmp_path / "val"
    folder.mkdir()
    lines = (sample / "images" / "labels.txt").read_text().splitlines()[:12]
    for line in lines:
        name = line.split()[0]
        (folder / name).write_bytes((sample / "images" / name).read_bytes())
    evil = "<script>alert(1)<script>.jpg"
    (folder / evil).write_bytes(b"\xff\xd8\xff no")
    wrong = [f"{line.split()[0]} {(int(line.split()[1]) + 1) % 20}" for line in lines[:2]]
    (tmp_path / "labels.txt").write_text("\n".join([*wrong, *lines[2:]]))
    report = tmp_path / "report.html"
    done = run("accuracy", folder, "--labels", tmp_path / "labels.txt", "--url", server.grpc_url, "--report", report)
    assert done.returncode == 1
    page = report.read_text()
    assert "(10 of 12; 95 % interval" in page
    assert page.count('src="data:image/jpeg;base64,') == 2
    assert all(line.split()[0] in page for line in lines[:2])
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r'(src|href)="(?!data:)', page)  # nothing from elsewhere
    for title in ("Worst classes", "Confusion matrix", "Margin between", "Latency", "Coverage", "Server"):
        assert title in page
    assert page.count("<svg") == page.count("</svg>") >= 3
    for title in ("The run", "Every class", "Accuracy by margin", "Latency of a request, ms"):
        assert title in page
    assert f"resnet50-client accuracy {folder}" in page
    assert "<th class=n>p99, ms</th>" in page
    assert re.search(r">p90 [\d.,]+ ms</text>", page)
    assert ">latency, ms</text>" in page
    assert f"{folder}, labels {tmp_path / 'labels.txt'}" in page
    content = base64.b64decode(re.search(r'href="data:text/csv;base64,([^"]+)"', page)[1]).decode()  # type: ignore[index]
    table = list(csv.DictReader(content.splitlines()))
    assert sum(int(row["right"]) for row in table) == 10
    assert sum(int(row["of"]) for row in table) == 12
    assert page.count('<text transform="translate') >= 2  # the matrix names its columns
    classes = {line.split()[1] for line in [*wrong, *lines[2:]]}
    assert f"{len(classes)} classes with scored images" in page


@pytest.mark.parametrize("pixels", [False, True])
def test_shared_memory_and_pixels_change_no_answer(
    run: Run, url: str, jpegs: list[Path], stock_ranks: dict[str, list[int]], pixels: bool
) -> None:
    options = ["--pixels"] if pixels else []
    done = run("classify", *jpegs, "--url", url, "--json", "--top", "5", "--shm", *options)
    assert done.returncode == 0, done.stderr
    for path, line in zip(jpegs, done.stdout.splitlines(), strict=True):
        assert [candidate["class"] for candidate in json.loads(line)["top"]] == stock_ranks[path.name][:5]
    assert not list(Path("/dev/shm").glob("resnet50-client-*"))


def test_pixels_say_what_cannot_be_decoded(run: Run, url: str, tmp_path: Path, jpegs: list[Path]) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    done = run("classify", tmp_path / "bad.jpg", jpegs[0], "--url", url, "--json", "--pixels")
    bad, good = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1
    assert "cannot be decoded" in bad["error"]
    assert good["error"] is None


def test_an_image_too_large_for_its_slot_is_sent_in_its_request(run: Run, fast_server: Server, tmp_path: Path) -> None:
    images = [bytes(700_000) + b"large", b"small"]
    for i, image in enumerate(images):
        (tmp_path / f"{i}.jpg").write_bytes(image)
    done = run("classify", tmp_path, "--url", fast_server.grpc_url, "--shm", "--json")
    assert [json.loads(line)["top"][0]["class"] for line in done.stdout.splitlines()] == list(map(fast_class, images))


def test_shared_memory_is_for_this_machine(run: Run, val: Path) -> None:
    done = run("classify", val, "--url", "card7:8001", "--shm")
    assert done.returncode == 2
    assert "grpc://card7:8001 is not" in done.stderr


def test_several_servers_share_the_images(
    run: Run, fast_server: Server, other_server: Server, val: Path, labels: Path, tmp_path: Path
) -> None:
    other_url = f"http://{other_server.http_url}"
    urls = ("--url", fast_server.grpc_url, "--url", other_url, "--url", "127.0.0.1:1")
    done = run("accuracy", val, "--labels", labels, *urls, "--json", "--outfile", tmp_path / "r.csv")
    figures(done)
    assert "going on without a server: grpc://127.0.0.1:1 is unavailable" in done.stderr
    rows = list(csv.DictReader((tmp_path / "r.csv").open(newline="")))
    servers = Counter(row["server"] for row in rows if row["server"])
    assert set(servers) == {f"grpc://{fast_server.grpc_url}", other_url}
    assert min(servers.values()) >= 10
    assert [row["file"] for row in rows] == sorted(str(path) for path in val.iterdir())


def test_answers_of_two_networks_are_no_result(
    run: Run, fast_server: Server, other_server: Server, val: Path, labels: Path, tmp_path: Path
) -> None:
    good = tmp_path / "good"
    good.mkdir()
    for path in list(val.iterdir()):
        if not path.read_bytes().startswith(b"bad"):
            (good / path.name).symlink_to(path)
    urls = ("--url", fast_server.grpc_url, "--url", other_server.grpc_url)
    done = run("accuracy", good, "--labels", labels, *urls)
    assert done.returncode == 1
    assert "the answers come from 2 different xclbins" in done.stdout


def test_thumbnails_are_of_any_format(tmp_path: Path) -> None:
    from resnet50_client.images import as_item
    from resnet50_client.report import _thumbnail

    for mode, suffix in [("RGB", "jpg"), ("P", "gif"), ("RGBA", "png"), ("CMYK", "jpg"), ("I;16", "png")]:
        path = tmp_path / f"{mode.replace(';', '')}.{suffix}"
        Image.new(mode, (300, 200)).save(path)
        assert _thumbnail(as_item(path, "")).startswith('<img alt="" src="data:image/jpeg;base64,')
    assert _thumbnail(as_item(tmp_path / "gone", "")) == '<div class="none"></div>'


def test_several_right_classes_and_all_logits(run: Run, fast_grpc: str, tmp_path: Path) -> None:
    """By the rule of "Are we done with ImageNet?": right is an answer among an image's labels, of those with any."""
    folder = tmp_path / "val"
    make_images(folder, 20)
    files = sorted(folder.iterdir())
    answers = {path.name: fast_class(path.read_bytes()) for path in files}
    real = {}
    for i, (name, answer) in enumerate(answers.items()):
        others = [(answer + 7) % 1000, (answer + 3) % 1000]  # the second is among the five best
        real[name] = [[*others, answer], others[:1], others, []][i % 4]
    labels, outfile, array = tmp_path / "real.json", tmp_path / "r.csv", tmp_path / "logits.npy"
    labels.write_text(json.dumps(real))
    words = ("accuracy", folder, "--labels", labels, "--url", fast_grpc, "--outfile", outfile, "--logits", array)
    summary = json.loads(run(*words, "--json").stdout)
    good = [path.name for path in files if not path.read_bytes().startswith(b"bad")]
    scored = [name for name in good if real[name]]
    assert summary["scored"] == summary["top1"]["of"] == len(scored)
    assert summary["top1"]["hits"] == sum(answers[name] in real[name] for name in scored)
    top5 = {name: {(answer + k) % 1000 for k in range(5)} for name, answer in answers.items()}
    assert summary["top5"]["hits"] == sum(bool(top5[name] & set(real[name])) for name in scored)
    assert summary["unlabelled"] == [str(folder / name) for name in good if not real[name]]
    rows = {Path(row["file"]).name: row for row in csv.DictReader(outfile.open(newline=""))}
    assert {name: [int(word) for word in row["label"].split()] for name, row in rows.items()} == real
    shown = run(*words, "--resume", "--report", tmp_path / "r.html", "--show", "wrong")  # of a complete run: again
    assert shown.returncode == 1
    assert "Top-1 accuracy" in (tmp_path / "r.html").read_text()

    logits = np.load(array)
    with (tmp_path / "logits.files.csv").open(newline="") as file:
        named = list(csv.DictReader(file))
    assert [row["file"] for row in named] == [str(folder / name) for name in good]
    assert [row["label"] for row in named] == [" ".join(map(str, real[name])) for name in good]
    assert (logits.shape, logits.dtype) == ((len(good), 1000), np.float32)
    assert logits.argmax(axis=1).tolist() == [answers[name] for name in good]
    assert set(logits.sum(axis=1)) == {150.0}

    refused = run(*words[:-1], tmp_path / "logits.txt")
    assert (refused.returncode, "must end in .npy" in refused.stderr) == (2, True)
    refused = run(*words[:-2], "--resume")
    assert (refused.returncode, "its logits is on, now it is off" in refused.stderr) == (2, True)


def test_logits_of_an_xclbin_that_gives_class_ids(
    run: Run, top5_server: Server, jpegs: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "labels.txt").write_text(f"{jpegs[0].name} 1\n")
    words = ("--labels", tmp_path / "labels.txt", "--url", top5_server.grpc_url, "--logits", tmp_path / "l.npy")
    done = run("accuracy", jpegs[0], *words)
    assert (done.returncode, "gives class ids only: leave out logits" in done.stderr) == (2, True)
    assert list(tmp_path.glob("l.*")) == []
