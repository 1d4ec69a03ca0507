"""Servers that require TLS, certificates or a password."""

from __future__ import annotations

import http.client
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_support import Run
from fast import fast_class, make_fast_repository
from resnet50_triton.server.process import Server
from servers import running

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def tls_server(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """gRPC only with TLS and a client's certificate, and inference only with a password."""
    options = [
        "--grpc-use-ssl=true",
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={certificates / 'server.pem'}",
        f"--grpc-server-key={certificates / 'server.key'}",
        f"--grpc-root-cert={certificates / 'ca.pem'}",
        "--grpc-restricted-protocol=inference:password=sesame",
    ]
    repository = make_fast_repository(tmp_path_factory.mktemp("tls") / "models")
    with running(repository, options=options) as server:
        yield server


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "image.jpg").write_bytes(b"some image")
    return tmp_path / "image.jpg"


PASSWORD = ("--header", "triton-grpc-protocol-password: sesame")


def test_grpc_with_certificates_and_a_header(run: Run, tls_server: Server, certificates: Path, image: Path) -> None:
    url = f"grpcs://localhost:{tls_server.ports.grpc}"
    ours = ("--tls-cert", certificates / "client.pem", "--tls-key", certificates / "client.key")
    options = ("--url", url, "--tls-ca", certificates / "ca.pem", *ours)
    done = run("classify", image, *options, *PASSWORD, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["top"][0]["class"] == fast_class(image.read_bytes())

    assert run("doctor", *options, *PASSWORD).returncode == 0
    without = run("classify", image, *options, "--json")
    assert without.returncode == 2
    assert "triton-grpc-protocol-password" in without.stderr


def test_a_configuration_that_is_for_operators_is_not_needed(run: Run, image: Path, tmp_path: Path) -> None:
    options = ["--grpc-restricted-protocol=model-config:password=sesame"]
    with running(make_fast_repository(tmp_path / "models", provenance=False), options=options) as server:
        done = run("classify", image, image, "--url", server.grpc_url, "--json")
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(answer["top"][0]["class"], answer["xclbin_uuid"]) for answer in answers] == [
        (fast_class(image.read_bytes()), None)
    ] * 2


@pytest.mark.parametrize("missing", ["--tls-ca", "--tls-cert"])
def test_grpc_without_a_certificate_is_not_let_in(
    run: Run, tls_server: Server, certificates: Path, image: Path, missing: str
) -> None:
    options = {
        "--tls-ca": ["--tls-ca", certificates / "ca.pem"],
        "--tls-cert": ["--tls-cert", certificates / "client.pem", "--tls-key", certificates / "client.key"],
    }
    del options[missing]
    given = [option for pair in options.values() for option in pair]
    done = run("classify", image, "--url", f"grpcs://localhost:{tls_server.ports.grpc}", *given, *PASSWORD)
    assert done.returncode == 2
    assert "is unavailable" in done.stderr
    assert "its certificate?" in done.stderr


@pytest.fixture
def gateway(fast_server: Server, certificates: Path) -> Iterator[str]:
    """HTTPS in front of the fast server, under a path, for those who bring the token."""

    class Gateway(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Authorization") != "Bearer t0ken":
                self.answer(401, {}, b'{"error": "unauthorized: bring a token"}')
                return
            inside = http.client.HTTPConnection(fast_server.http_url)
            kept = {k: v for k, v in self.headers.items() if k.lower() not in {"host", "authorization"}}
            inside.request(self.command, self.path.removeprefix("/triton"), body or None, kept)
            response = inside.getresponse()
            self.answer(response.status, dict(response.getheaders()), response.read())

        do_GET = do_POST  # noqa: N815 - the name is http.server's

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in {"content-length", "transfer-encoding"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"https://localhost:{server.server_address[1]}/triton"
        server.shutdown()


def test_https_with_a_token_file(run: Run, gateway: str, certificates: Path, image: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    options = ("--url", gateway, "--tls-ca", certificates / "ca.pem", "--json")
    done = run("classify", image, *options, "--token-file", tmp_path / "token")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["top"][0]["class"] == fast_class(image.read_bytes())
    done = run("classify", image, *options)
    assert done.returncode == 2
    assert "bring a token" in done.stderr


def test_https_of_a_stranger_is_not_trusted(run: Run, gateway: str, certificates: Path, image: Path) -> None:
    done = run("classify", image, "--url", gateway, "--tls-ca", certificates / "stranger.pem")
    assert done.returncode == 2
    assert "certificate verify failed" in done.stderr
    done = run("doctor", "--url", gateway, "--tls-ca", certificates / "stranger.pem")
    assert done.returncode == 1
    assert "fix: check --tls-ca" in done.stdout


def test_certificates_without_tls_are_a_slip(run: Run, certificates: Path, image: Path) -> None:
    done = run("classify", image, "--url", "localhost:1", "--tls-ca", certificates / "ca.pem")
    assert done.returncode == 2
    assert "write grpcs:// or https:// before it" in done.stderr
    done = run("classify", image, "--header", "no colon")
    assert done.returncode == 2
    assert "must be 'NAME: VALUE'" in done.stderr
