"""The proofs that take minutes: `make test-long`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from client_support import Run, Start, wait_for_records
from fast import make_images
from PIL import Image
from resnet50_triton.server.process import Server
from test_resume import comparable, rows

pytestmark = [pytest.mark.server, pytest.mark.long]

COUNT = 5000


@pytest.fixture(scope="module")
def generated(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5,000 JPEGs made of the sample's, each in its own cut and size, and labels.txt; some corrupt, some unlabelled."""
    folder = tmp_path_factory.mktemp("generated") / "val"
    folder.mkdir()
    known = [line.split() for line in (sample / "images" / "labels.txt").read_text().splitlines()]
    pictures = [Image.open(sample / "images" / name).convert("RGB") for name, _ in known]
    lines = ["gone.jpg 3"]
    for i in range(COUNT):
        picture = pictures[i % len(pictures)]
        edge = i // len(pictures)  # 0 to 52: a cut of its own for each round
        left, top = edge % 8, edge // 8
        picture.crop((left, top, picture.width - top, picture.height - left)).save(folder / f"{i:05}.jpg", quality=85)
        if i % 100 == 50:
            (folder / f"{i:05}.jpg").write_bytes(b"\xff\xd8\xff\xe0 corrupt")
        if i % 100 != 70:
            lines.append(f"{i:05}.jpg {known[i % len(known)][1]}")
    folder.with_suffix(".txt").write_text("\n".join(lines))
    return folder


def test_five_thousand_jpegs_killed_three_times(
    run: Run, start: Start, server: Server, generated: Path, tmp_path: Path
) -> None:
    """Through the whole server; figures and file equal those of one straight run."""

    def job(name: str, *others: Any) -> list[Any]:
        labels = generated.with_suffix(".txt")
        results = ("--outfile", tmp_path / name, "--json", "--url", server.grpc_url)
        return ["accuracy", generated, "--labels", labels, *results, *others]

    straight = run(*job("straight.csv"), timeout=600)
    resume: list[str] = []
    for count in (1000, 2000, 4000):
        process = start(*job("broken.csv", *resume))
        wait_for_records(tmp_path / "broken.sqlite", count, process)
        process.kill()
        process.wait()
        resume = ["--resume"]
    done = run(*job("broken.csv", "--resume"), timeout=600)
    summary = json.loads(done.stdout)
    assert 4000 <= summary["resumed"] < COUNT
    assert (len(summary["failed"]), len(summary["unlabelled"]), summary["missing"]) == (50, 50, ["gone.jpg"])
    assert comparable(summary) == comparable(json.loads(straight.stdout))
    assert len(rows(tmp_path / "broken.csv")) == COUNT
    assert rows(tmp_path / "broken.csv") == rows(tmp_path / "straight.csv")


def test_memory_is_flat_at_fifty_thousand(start: Start, fast_server: Server, tmp_path: Path) -> None:
    """What grows is the cache of each list on disk, until it is full; after that, four times the images add little."""
    counts = (5_000, 50_000, 200_000)
    peaks = {count: peak_memory_kib(start, fast_server, tmp_path / str(count), count) for count in counts}
    print(f"peak memory, KiB: {peaks}")
    assert peaks[50_000] - peaks[5_000] < 10_000
    assert peaks[200_000] - peaks[50_000] < 8_000


def peak_memory_kib(start: Start, server: Server, folder: Path, count: int) -> int:
    """The most memory that a run over so many images took, results, report and profile included."""
    labels = make_images(folder, 10, size_bytes=20_000)
    with labels.open("a") as more:
        for i in range(10, count):  # links: it is the client that is to be filled, not the disk
            (folder / f"{i:05}.jpg").symlink_to(f"{i % 10:05}.jpg")
            if i % 10 != 8:
                more.write(f"\n{i:05}.jpg {i % 1000}")
    options = ("--report", folder / "r.html", "--profile", "--outfile", folder / "r.csv", "--show", "none")
    process = start("accuracy", folder, "--labels", labels, "--url", server.grpc_url, *options)
    peak = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = max([peak, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
        time.sleep(0.02)
    output, errors = process.communicate()
    assert process.returncode == 1, errors
    assert f"{count * 8 // 10} of {count} images scored" in output
    return peak
