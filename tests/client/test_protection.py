"""What `resnet50-pynq serve` and the balancer keep from those who have no key and no certificate."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from client_support import Run
from fast import fast_class, make_fast_repository
from resnet50_triton import cli
from resnet50_triton.errors import BadParameter
from resnet50_triton.server.access import ADMIN_HEADER, Access, read_admin_key
from resnet50_triton.server.process import Ports, Server

BALANCER = Path(__file__).resolve().parents[2] / "deploy" / "haproxy" / "balancer.py"
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
KEY = "sesame-open-yourself"
WITH_KEY = {ADMIN_HEADER: KEY}
# Calls that change the server, and what an attacker would do with each.
ADMIN_CALLS = [
    ("POST", "/v2/repository/models/classify/load"),  # run code of his own
    ("POST", "/v2/repository/models/classify/unload"),  # end the service
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/systemsharedmemory/region/x/register"),  # read and write other processes' memory
    ("GET", "/v2/systemsharedmemory/status"),
    ("GET", "/v2/cudasharedmemory/status"),
    ("POST", "/v2/trace/setting"),  # write files
    ("POST", "/v2/logging"),
]


def call(address: str, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and text of an answer."""
    body = b"{}" if method == "POST" else None
    request = urllib.request.Request(f"http://{address}{path}", body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "image.jpg"
    path.write_bytes(b"some image")
    return path


@pytest.fixture(scope="module")
def protected(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    """`serve` of the fast model, gRPC on 127.0.0.2 with TLS on both sides, and a key before the admin's calls."""
    folder = tmp_path_factory.mktemp("protected")
    (folder / "key").write_text(f"{KEY}\n")
    ports = Ports.free("127.0.0.2")
    tls = {"cert": "server.pem", "key": "server.key", "client-ca": "ca.pem"}
    options = [f"--tls-{name}={certificates / file}" for name, file in tls.items()]
    options += [f"--{name}-port={getattr(ports, name)}" for name in ("grpc", "http", "metrics")]
    options += ["--host=127.0.0.2", f"--admin-key-file={folder / 'key'}", f"--log={folder / 'log'}"]
    command = [sys.executable, "-m", "resnet50_triton.cli", "serve", *options]
    repository = make_fast_repository(folder / "models")
    process = subprocess.Popen([*command, f"--model-repository={repository}"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        for line in process.stdout:
            if "Ctrl-C" in line:
                break
        assert process.poll() is None, (folder / "log").read_text()
        yield ports
    finally:
        process.terminate()
        process.communicate()


def tls_options(certificates: Path, ca: str = "ca.pem", is_known: bool = True) -> list[object]:
    """The client's: whom it trusts, and perhaps its own certificate."""
    ours = ["--tls-cert", certificates / "client.pem", "--tls-key", certificates / "client.key"]
    return ["--tls-ca", certificates / ca, *(ours if is_known else [])]


@pytest.mark.server
def test_serve_with_certificates_and_key(run: Run, protected: Ports, certificates: Path, image: Path) -> None:
    url = ("--url", f"grpcs://127.0.0.2:{protected.grpc}")
    done = run("classify", image, *url, *tls_options(certificates), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["top"][0]["class"] == fast_class(image.read_bytes())
    assert run("classify", image, *url, *tls_options(certificates, "stranger.pem")).returncode == 2
    assert run("classify", image, *url, *tls_options(certificates, is_known=False)).returncode == 2

    shared = run("classify", image, *url, *tls_options(certificates), "--shm")
    assert shared.returncode == 2
    assert f"restricted, expecting header '{ADMIN_HEADER}'" in shared.stderr
    header = ("--header", f"{ADMIN_HEADER}: {KEY}")
    assert run("classify", image, *url, *tls_options(certificates), "--shm", *header).returncode == 0


@pytest.mark.server
def test_what_is_not_encrypted_stays_on_this_machine(protected: Ports) -> None:
    assert call(f"127.0.0.1:{protected.http}", "GET", "/v2/health/ready")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", protected.http))


@pytest.mark.server
def test_http_admin_calls_need_the_key(protected: Ports) -> None:
    address = f"127.0.0.1:{protected.http}"
    for headers in ({}, {ADMIN_HEADER: KEY + "x"}, {ADMIN_HEADER: ""}):
        for method, path in ADMIN_CALLS:
            assert call(address, method, path, headers)[0] == 403, path
    # The same, spelt in ways that a filter may overlook.
    for path in (
        "/v2/repository/models/classify/%6Coad",
        "/v2//repository/index",
        "/V2/repository/index",
        "/v2/logging/",
    ):
        assert call(address, "POST", path)[0] >= 400, path
    assert call(address, "GET", "/v2/models/classify/ready")[0] == 200  # nothing was unloaded
    assert "classify" in call(address, "POST", "/v2/repository/index", WITH_KEY)[1]
    assert call(address, "POST", "/v2/repository/models/classify/unload", WITH_KEY)[0] == 200
    assert call(address, "POST", "/v2/repository/models/classify/load", WITH_KEY)[0] == 200
    assert call(address, "GET", "/v2/models/classify/ready")[0] == 200


def test_options_by_address() -> None:
    assert Access().options(["127.0.0.1"]) == Access().options(["localhost"]) == []
    closed = Access().options(["0.0.0.0"])
    keys = {option.rpartition("=")[2] for option in closed}
    assert len(closed) == 2
    assert len(keys) == 1
    assert len(keys.pop()) >= 32
    assert closed != Access().options(["0.0.0.0"])  # not the same key twice
    assert len(Access().options(["127.0.0.1", "0.0.0.0"])) == 2  # one open address is enough
    theirs = "--http-restricted-api=shared-memory:a=b"
    assert Access().options(["0.0.0.0"], [theirs]) == []
    assert len(Access().options(["0.0.0.0"], ["--http-restricted-api=inference:a=b"])) == 2


def test_http_has_an_address_of_its_own(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Ports, list[str]]] = []

    def serve_until_done(_models: object, ports: Ports, *rest: list[str]) -> int:
        seen.append((ports, rest[-1]))
        return 0

    monkeypatch.setattr("resnet50_triton.server.supervise.serve_until_done", serve_until_done)
    tls = [f"--tls-cert={certificates / 'server.pem'}", f"--tls-key={certificates / 'server.key'}"]
    for options in ([], ["--http-host=0.0.0.0"], ["--host=0.0.0.0", "--http-host=127.0.0.1"], ["--host=0.0.0.0", *tls]):
        with pytest.raises(SystemExit, match="0"):
            cli.main(["serve", "--model-repository=anywhere", *options])
    assert [ports.http_host for ports, _ in seen] == ["127.0.0.1", "0.0.0.0", "127.0.0.1", "127.0.0.1"]
    assert [any("restricted" in option for option in options) for _, options in seen] == [False, True, True, True]


def test_refused_settings(tmp_path: Path) -> None:
    (tmp_path / "some.pem").touch()
    for wrong in ({"tls_cert": tmp_path / "some.pem"}, {"tls_client_ca": tmp_path / "some.pem"}):
        with pytest.raises(BadParameter, match="give --tls-cert"):
            Access(**wrong)
    with pytest.raises(BadParameter, match="no such file"):
        Access(tmp_path / "none.pem", tmp_path / "some.pem")
    for text in ("", "short", "a key with blanks in it", "key=with,signs:that-triton-reads"):
        (tmp_path / "key").write_text(text)
        with pytest.raises(BadParameter, match=f"has {len(text)} characters; it needs 16 or more"):
            read_admin_key(tmp_path / "key")
    with pytest.raises(BadParameter, match="No such file"):
        read_admin_key(tmp_path / "none")


def configuration(folder: Path, server: str, grpc: str, http: str, *options: object) -> Path:
    """HAProxy's, for one replica."""
    place = ("--grpc-bind", grpc, "--http-bind", http, "--replica", f"card1={server}")
    command = [sys.executable, BALANCER, "--socket", folder / "socket", "config", *place, *options]
    made = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
    (folder / "haproxy.cfg").write_text(made.stdout)
    return folder / "haproxy.cfg"


def test_balancer_refuses_what_is_wrong(tmp_path: Path) -> None:
    command = [sys.executable, str(BALANCER), "--socket", str(tmp_path / "none")]
    for wrong in (["config", "--replica", "card1"], ["config", "--replica", "a=b", "--tls-client-ca", "x"], ["drain"]):
        assert subprocess.run([*command, *wrong], capture_output=True, check=False).returncode == 2
    absent = subprocess.run([*command, "status"], capture_output=True, text=True, check=False)
    assert absent.returncode == 1
    assert "is HAProxy running" in absent.stderr


@pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed (Debian: apt-get install haproxy)")
def test_haproxy_takes_the_configuration(tmp_path: Path, certificates: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join((certificates / f"server.{end}").read_bytes() for end in ("pem", "key")))
    for options in ([], ["--tls-cert", both], ["--tls-cert", both, "--tls-client-ca", certificates / "ca.pem"]):
        file = configuration(tmp_path, "127.0.0.1", "127.0.0.1:8001", "127.0.0.1:8000", *options)
        checked = subprocess.run([str(HAPROXY), "-c", "-f", file], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        assert "WARNING" not in checked.stderr


@pytest.fixture(scope="module")
def balanced(fast_server: Server, certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    """The balancer before the fast server, with TLS on both sides, and impatient."""
    if not HAPROXY:
        pytest.skip("haproxy is not installed (Debian: apt-get install haproxy)")
    folder = tmp_path_factory.mktemp("balancer")
    both = folder / "both.pem"
    both.write_bytes(b"".join((certificates / f"server.{end}").read_bytes() for end in ("pem", "key")))
    ports, inside = Ports.free(), fast_server.ports
    file = configuration(
        folder,
        f"127.0.0.1:{inside.grpc}:{inside.http}",
        f"127.0.0.1:{ports.grpc}",
        f"127.0.0.1:{ports.http}",
        *("--tls-cert", both, "--tls-client-ca", certificates / "ca.pem"),
    )
    text = file.read_text()
    assert "timeout http-request 10s" in text
    file.write_text(text.replace("timeout http-request 10s", "timeout http-request 1s"))
    process = subprocess.Popen([HAPROXY, "-db", "-f", file], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        status = [sys.executable, str(BALANCER), "--socket", str(folder / "socket"), "status"]
        while " UP " not in subprocess.run(status, capture_output=True, text=True, check=False).stdout:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield ports
    finally:
        process.terminate()
        process.wait()


@pytest.mark.server
@pytest.mark.parametrize("scheme", ["grpcs", "https"])
def test_balancer_with_certificates(run: Run, balanced: Ports, certificates: Path, image: Path, scheme: str) -> None:
    url = ("--url", f"{scheme}://localhost:{balanced.grpc if scheme == 'grpcs' else balanced.http}")
    done = run("classify", image, *url, *tls_options(certificates), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["top"][0]["class"] == fast_class(image.read_bytes())
    assert run("classify", image, *url, *tls_options(certificates, is_known=False)).returncode == 2
    # Shared memory does not pass, whoever asks.
    shared = run("classify", image, *url, *tls_options(certificates), "--shm")
    assert shared.returncode == 2
    assert "the balancer lets only inference pass" in shared.stderr


@pytest.mark.server
@pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed (Debian: apt-get install haproxy)")
def test_balancer_lets_only_inference_pass_and_nobody_dawdle(fast_server: Server, tmp_path: Path) -> None:
    ports, inside = Ports.free(), fast_server.ports
    address = f"127.0.0.1:{ports.http}"
    file = configuration(tmp_path, f"127.0.0.1:{inside.grpc}:{inside.http}", f"127.0.0.1:{ports.grpc}", address)
    file.write_text(file.read_text().replace("timeout http-request 10s", "timeout http-request 1s"))
    process = subprocess.Popen([str(HAPROXY), "-db", "-f", file], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if call(address, "GET", "/v2/health/ready")[0] == 200:
                    break
            time.sleep(0.1)
        assert call(address, "GET", "/v2/models/classify")[0] == 200
        odd = [
            ("POST", p) for p in ("/v2//repository/index", "/v2/models/classify/trace/setting", "/v2/%6Cogging", "/")
        ]
        for method, path in ADMIN_CALLS + odd:
            assert call(address, method, path)[0] == 403, path
        head = b"Inference-Header-Content-Length: "
        infer = b"POST /v2/models/classify/infer HTTP/1.1\r\nHost: x\r\n"
        for begin, code in (
            (b"GET /v2 HTTP/1.1\r\nHost: x\r\n", b"408"),  # and never the end
            (infer + b"Transfer-Encoding: chunked\r\n\r\n1\r\nA\r\n", b"411"),
            (infer + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n", b"415"),
            (infer + b"Content-Length: 60000\r\n\r\n", b"413"),
            (infer + head + b"60000\r\nContent-Length: 100000\r\n\r\n", b"413"),
            (infer + head + b"10\r\n" + head + b"9999999\r\nContent-Length: 9999999\r\n\r\n", b"413"),
            (infer + head + b"300\r\nContent-Length: 70000000\r\n\r\n", b"413"),
        ):
            with socket.create_connection(("127.0.0.1", ports.http), timeout=10) as connection:
                connection.sendall(begin)
                assert connection.recv(100).split()[1] == code
        with grpc.insecure_channel(f"127.0.0.1:{ports.grpc}") as channel:
            ask = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            with pytest.raises(grpc.RpcError, match="compressed requests are not taken"):
                ask(bytes(1000), compression=grpc.Compression.Gzip, timeout=10)
            with pytest.raises(grpc.RpcError, match="Request for unknown model"):  # Triton's own answer
                ask(b"", timeout=10)
    finally:
        process.terminate()
        process.wait()
