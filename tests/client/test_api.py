"""The Python API, blocking and asyncio, against the real server."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from client_support import CORRUPT
from resnet50_client import AsyncClient, Client, ModelMismatch, ServerUnavailable, find_images
from resnet50_triton.server.process import Server

pytestmark = pytest.mark.server


def test_paths_and_bytes_in_order(
    url: str, jpegs: list[Path], stock_logits: dict[str, Any], stock_ranks: dict[str, list[int]]
) -> None:
    with Client(url) as client:
        predictions = client.classify([jpegs[0], jpegs[1].read_bytes(), str(jpegs[2])])
        again = client.classify([jpegs[0]])
    assert [p.source for p in predictions] == [str(jpegs[0]), "image 1", str(jpegs[2])]
    for prediction, path in zip(predictions, jpegs, strict=False):
        ranks = stock_ranks[path.name]
        assert prediction.class_ids == tuple(ranks[:5])
        assert prediction.top[0].score == stock_logits[path.name][ranks[0]]
        assert prediction.latency_s > 0
    assert again[0].top == predictions[0].top


def test_a_bad_image_carries_its_error(url: str, jpegs: list[Path], tmp_path: Path) -> None:
    with Client(url) as client:
        good, bad, gone = client.classify([jpegs[0], CORRUPT, tmp_path / "gone.jpg"])
    assert good.error is None
    assert bad.error is not None
    assert bad.top == ()
    assert gone.error == "cannot read the file: No such file or directory"


def test_names_are_the_servers(server: Server, url: str, jpegs: list[Path]) -> None:
    """Names learned in one request equal those that Triton gives with each answer to a stock client."""
    import tritonclient.grpc

    tensor = tritonclient.grpc.InferInput("IMAGE", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[jpegs[0].read_bytes()]], dtype=object))
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as stock:
        wanted = [tritonclient.grpc.InferRequestedOutput("LOGITS", class_count=1)]
        answer = stock.infer("classify", [tensor], outputs=wanted).as_numpy("LOGITS")[0][0].decode()
    score, class_id, *name = answer.split(":", 2)
    with Client(url) as client:
        best = client.classify([jpegs[0]])[0].top[0]
    assert (best.score, best.class_id, best.name) == (int(float(score)), int(class_id), name[0] if name else None)


def test_the_blocking_client_works_inside_a_running_loop(url: str, jpegs: list[Path]) -> None:
    """As in a notebook, where the cell runs inside the kernel's event loop."""

    async def cell() -> int:
        with Client(url) as client:
            return len(client.classify(jpegs))

    assert asyncio.run(cell()) == len(jpegs)


def test_stream_takes_images_as_there_is_room(url: str, jpegs: list[Path]) -> None:
    """Of many images in memory at once, only a few windows' worth are alive."""
    data = jpegs[0].read_bytes()
    padded = len(data) + 1_000_000  # bytes after a JPEG's end are not looked at

    def images() -> Iterator[bytes]:
        for _ in range(100):
            yield data + bytes(padded - len(data))

    async def count() -> int:
        answered = 0
        async with AsyncClient(url, concurrency=2) as client, aclosing(client.stream(images())) as predictions:
            async for prediction in predictions:
                answered += prediction.error is None
        return answered

    tracemalloc.start()
    try:
        assert asyncio.run(count()) == 100
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * padded


def test_stopping_early_leaves_nothing_running(url: str, jpegs: list[Path]) -> None:
    async def first() -> tuple[str, int]:
        async with AsyncClient(url, concurrency=4) as client:
            async with aclosing(client.stream(jpegs * 20)) as predictions:
                prediction = await anext(predictions)
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            return prediction.source, sum("stream.<locals>.one" in repr(task) for task in others)

    assert asyncio.run(first()) == (str(jpegs[0]), 0)


def test_a_model_of_other_tensors_is_refused(url: str) -> None:
    with pytest.raises(ModelMismatch, match=r"takes PIXELS .*decode in the client \(--pixels\)"):
        Client(url, model="resnet50")


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_no_server_is_an_error_at_once(protocol: str) -> None:
    with pytest.raises(ServerUnavailable, match="is unavailable"):
        Client("127.0.0.1:1", protocol=protocol)


def test_the_blocking_client_streams(url: str, jpegs: list[Path], stock_ranks: dict[str, list[int]]) -> None:
    with Client(url, concurrency=2) as client:
        stream = client.stream(path for path in jpegs * 3)
        first = next(stream)
        assert first.class_ids == tuple(stock_ranks[jpegs[0].name][:5])
        assert [p.source for p in stream] == [str(path) for path in (jpegs * 3)[1:]]
        abandoned = client.stream(jpegs)
        next(abandoned)
        abandoned.close()
        assert len(client.classify(jpegs[:2])) == 2


def test_images_of_an_archive(url: str, jpegs: list[Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(jpegs[0], "x.jpg")
        archive.writestr("y.jpg", CORRUPT)
    with Client(url) as client:
        good, bad = client.classify(find_images([tmp_path / "a.zip"]).items)
        (same,) = client.classify([jpegs[0]])
    assert good.top == same.top
    assert good.source == f"{tmp_path}/a.zip/x.jpg"
    assert bad.error


def test_two_streams_share_the_window(url: str, jpegs: list[Path]) -> None:
    async def both() -> list[int]:
        async with AsyncClient(url, concurrency=3) as client:
            answers = await asyncio.gather(client.classify(jpegs), client.classify(jpegs[:4]))
            slots = {p.times.slot for some in answers for p in some if p.times}
            assert slots <= {0, 1, 2}
            return [len(some) for some in answers]

    assert asyncio.run(both()) == [len(jpegs), 4]


def test_one_image_is_asked_for_once(url: str, jpegs: list[Path]) -> None:
    """Not its letters, its bytes, its lines of pixels."""
    pixels = np.asarray(PIL.Image.open(jpegs[0]).convert("RGB"))
    with Client(url) as client:
        (expected,) = client.classify([jpegs[0]])
        for one in (str(jpegs[0]), jpegs[0], jpegs[0].read_bytes()):
            (prediction,) = client.classify(one)
            assert prediction.top == expected.top
        answers = [client.classify(one) for one in (pixels, PIL.Image.fromarray(pixels), [pixels[..., ::-1]])]
        assert [len(some) for some in answers] == [1, 1, 1]
        assert answers[0][0].top == answers[1][0].top
        assert answers[0][0].top[0].score != answers[2][0].top[0].score  # arrays are RGB: this one is not
        assert len(list(client.stream(jpegs[0]))) == 1


def test_both_clients_have_the_same_arguments() -> None:
    ours, theirs = (inspect.signature(kind.__init__).parameters for kind in (Client, AsyncClient))
    assert ours == theirs
    assert "options" not in ours


PROGRAM = """\
from pathlib import Path
from resnet50_client import AsyncClient, Client, Prediction
client = Client("localhost:8001", concurrency=8, top=3)
answers: list[Prediction] = client.classify("photo.jpg") + client.classify([Path("a"), b"", "c"])
uuid: str | None = answers[0].xclbin_uuid
card: str | None = answers[0].provenance.card if answers[0].provenance else None
async def ask() -> Prediction:
    async with AsyncClient(["a:8001", "b:8001"], protocol="http", logits=True, timeout_s=3) as client:
        return (await client.classify("photo.jpg"))[0]
Client(windw=3)
client.classify(3)
Client("localhost", top="3")
AsyncClient(concurrency="8")
"""


def test_types_reach_the_users_program(tmp_path: Path) -> None:
    """Right use is right, and the four mistakes at the end are found."""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line.split(":")[1] for line in errors] == ["10", "11", "12", "13"], done.stdout
    assert "windw" in errors[0]
    assert '"int"' in errors[1]
    assert "top" in errors[2]
    assert "concurrency" in errors[3]
