"""`resnet50-pynq serve`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

from .arguments import WrongUsage
from .deployment import add_deployment, deployment_of, is_deployment_named

HELP = "serve the models with tritonserver on a card"


def add_arguments(parser: ArgumentParser) -> None:
    """What is deployed, where the server listens, who may do what."""
    add_deployment(parser)
    c = parser.add_argument_group("the server")
    c.add_argument(
        "--model-repository",
        metavar="DIRECTORY|URL",
        help="serve this complete model repository unchanged, instead of files: a folder that make-repository wrote, "
        "or a URL that tritonserver reads, s3://...",
    )
    c.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    c.add_argument(
        "--http-host", metavar="HOST", help="address for HTTP (default: --host, or 127.0.0.1 with --tls-cert)"
    )
    c.add_argument("--http-port", type=int, default=8000, help="port for HTTP (default: 8000)")
    c.add_argument("--grpc-port", type=int, default=8001, help="port for gRPC (default: 8001)")
    c.add_argument("--metrics-port", type=int, default=8002, help="port for metrics (default: 8002)")
    c.add_argument("--free-ports", action="store_true", help="listen on free ports instead")
    c.add_argument("--tls-cert", type=Path, metavar="PEM", help="encrypt gRPC; HTTP then stays on 127.0.0.1")
    c.add_argument("--tls-key", type=Path, metavar="PEM", help="the private key of --tls-cert")
    c.add_argument(
        "--tls-client-ca", type=Path, metavar="PEM", help="mutual TLS: require client certificates of this authority"
    )
    c.add_argument(
        "--admin-key-file",
        type=Path,
        metavar="FILE",
        help="file with the key that opens model control, shared memory, trace and log settings, sent in the header "
        "'triton-grpc-protocol-admin-key: KEY' (default: closed, except shared memory on 127.0.0.1)",
    )
    c.add_argument(
        "--otlp",
        metavar="URL",
        help="send a trace of each request to the OpenTelemetry collector at this URL, OTLP over HTTP: "
        "http://collector:4318; --option=--trace-config=rate=100 traces every hundredth",
    )
    c.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="=--FLAG",
        help="an option of tritonserver, such as --option=--grpc-use-ssl=true; may be repeated",
    )
    c.add_argument(
        "--log", type=Path, help="file for tritonserver's output, - for the terminal (default: shown if it fails)"
    )
    parser.add_argument(
        "run",
        nargs="*",
        metavar="-- PROGRAM ARGUMENT",
        help="run a program while the server is up, then stop the server; {grpc}, {http}, {metrics} are its addresses",
    )


def run(args: Namespace) -> int:
    """Run the server until Ctrl-C, or for as long as the given program runs."""
    from ..server.access import Access, read_admin_key
    from ..server.addresses import Ports
    from ..server.supervise import serve_until_done
    from ..server.tracing import trace_options

    ports = Ports(args.host, args.http_port, args.grpc_port, args.metrics_port)
    if args.free_ports:
        ports = Ports.free(args.host)
    admin_key = read_admin_key(args.admin_key_file) if args.admin_key_file else None
    access = Access(args.tls_cert, args.tls_key, args.tls_client_ca, admin_key)
    http_host = args.http_host or ("127.0.0.1" if access.tls_cert else args.host)  # Triton cannot encrypt it
    ports = replace(ports, http_host=http_host).resolved()
    if args.model_repository and is_deployment_named(args):
        raise WrongUsage("--model-repository has its files, card and parameters: give no others and no preset")
    models = args.model_repository or deployment_of(args)
    if models is None:
        raise WrongUsage(
            "give --sample DIRECTORY, or both --xclbin and --fcweights, or --model-repository DIRECTORY|URL"
        )
    traces = trace_options(args.otlp) if args.otlp else []
    options = [*access.options((ports.host, ports.http_host or ports.host), args.option), *traces, *args.option]
    return serve_until_done(models, ports, args.log, args.run, options)
