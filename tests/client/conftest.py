"""Images that code draws, what the stock tritonclient says about them, and the command as a process of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import trustme
from client_support import COMMAND, FEW, Run, heed_interrupts
from fast import make_fast_repository, make_images
from PIL import Image
from resnet50_triton.network.parameters import Network
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Ports, Server
from resnet50_triton.xclbin.kernel_info import read_xclbin, write_xclbin
from servers import running


@pytest.fixture(scope="session")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eleven JPEGs of blurred noise, of various sizes; what they show does not matter here."""
    folder = tmp_path_factory.mktemp("jpegs")
    rng = np.random.default_rng(50)
    paths = []
    for i in range(11):
        noise = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
        paths.append(folder / f"noise {i}.jpg")
        noise.resize((180 + 31 * i, 400 - 17 * i), Image.Resampling.BICUBIC).save(paths[-1], quality=95)
    return paths


@pytest.fixture(scope="session")
def stock_logits(server: Server, jpegs: list[Path]) -> dict[str, np.ndarray]:
    """LOGITS of each file, int64 (1000,), asked for with the stock client, one blocking call each."""
    answers = {}
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        for path in jpegs:
            tensor = tritonclient.grpc.InferInput("IMAGE", [1, 1], "BYTES")
            tensor.set_data_from_numpy(np.array([[path.read_bytes()]], dtype=object))
            answers[path.name] = client.infer("classify", [tensor]).as_numpy("LOGITS")[0].astype(np.int64)
    return answers


@pytest.fixture(scope="session")
def stock_ranks(stock_logits: dict[str, np.ndarray]) -> dict[str, list[int]]:
    """All 1000 class ids of each file, best first, between equal logits the lower id first."""
    return {name: sorted(range(1000), key=lambda i: (-logits[i], i)) for name, logits in stock_logits.items()}


@pytest.fixture(scope="session")
def top5_server(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose xclbin ranks on the card, as the published one does: TOP5 and no LOGITS."""
    folder = tmp_path_factory.mktemp("top5")
    network = Network.from_bytes(read_xclbin(sample / "card.xclbin").network_bytes())
    write_xclbin(folder / "top5.xclbin", network, "top5")
    deployment = Deployment(folder / "top5.xclbin", sample / "fcweights.csv", sample / "labels.txt")
    with running(deployment.make_repository(folder / "models")) as server:
        yield server


@pytest.fixture(scope="session")
def fast_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the fast model: for what is about the client alone."""
    with running(make_fast_repository(tmp_path_factory.mktemp("fast") / "models")) as server:
        yield server


@pytest.fixture(params=["grpc", "http"])
def fast_url(request: pytest.FixtureRequest, fast_server: Server) -> str:
    """The fast server's URL, for each protocol."""
    return f"grpc://{fast_server.grpc_url}" if request.param == "grpc" else f"http://{fast_server.http_url}"


@pytest.fixture(params=["grpc", "http"])
def url(request: pytest.FixtureRequest, server: Server) -> str:
    """The server's URL, for each protocol."""
    return f"grpc://{server.grpc_url}" if request.param == "grpc" else f"http://{server.http_url}"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, and for server and client a certificate and a key; stranger.pem is another authority's."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "stranger.pem")
    for name, identities in (("server", ("localhost", "127.0.0.2")), ("client", ("someone@example.org",))):
        issued = authority.issue_cert(*identities)
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    return folder


@pytest.fixture
def few(tmp_path: Path) -> list[Any]:
    """The options of a shorter run, for the servers below, of which each batch takes its time."""
    labels = make_images(tmp_path / "few", FEW)
    return [
        "accuracy",
        tmp_path / "few",
        "--labels",
        labels,
        "--concurrency",
        4,
        "--outfile",
        tmp_path / "r.csv",
        "--json",
    ]


@pytest.fixture
def restartable(tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """Starts a fast server, each time on the same ports; whatever runs at the end is ended."""
    repository, ports = make_fast_repository(tmp_path / "models", delay_s=0.02), Ports.free()
    running: list[Server] = []

    def start() -> Server:
        running.append(Server(repository, ports))
        running[-1].wait_ready()
        return running[-1]

    yield start
    for server in running:
        server.kill()
        server.stop()  # what it left


@pytest.fixture
def run() -> Run:
    """Run `resnet50-client` to its end, standard output and error captured."""

    def run_command(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, *map(str, arguments)]
        limits = {"timeout": 120, **options}
        return subprocess.run(command, capture_output=True, text=True, check=False, **limits)  # type: ignore[call-overload, no-any-return]

    return run_command


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `resnet50-client` and go on; whatever still runs at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start_command(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_interrupts,
        )
        started.append(process)
        return process

    yield start_command
    for process in started:
        process.kill()
        process.communicate()
