"""Arguments that several subcommands share, and reading them."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

from resnet50_client.api import CONCURRENCY
from resnet50_client.endpoint import Access, Endpoint
from resnet50_client.errors import DatasetError
from resnet50_client.images import Images, find_images
from resnet50_client.labels import Labels, labels_of_folders, lines_of, read_class_map, read_labels, read_names


def add_labels(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """--labels and the options that go with it."""
    parser.add_argument(
        "--labels",
        required=required,
        metavar="FILE",
        help="ground truth (.txt, .csv, .json), or 'folders': each image's folder is its class",
    )
    parser.add_argument(
        "--class-map", type=Path, metavar="FILE", help="class ids of keys such as n01440764 (.json or text)"
    )
    add_names(parser)


def add_names(parser: argparse.ArgumentParser) -> None:
    """--names alone."""
    parser.add_argument(
        "--names",
        type=Path,
        metavar="FILE",
        help="class names, line i for class i, or JSON (default: ask the server)",
    )


def add_server(parser: argparse.ArgumentParser, *, model: bool = True, run: bool = True) -> None:
    """Where the server is, how to use it, with what of a run of many requests, and how to be let in."""
    server = parser.add_argument_group("server")
    server.add_argument(
        "--url",
        action="append",
        metavar="URL",
        help="host:port or http://host:port (default localhost:8001, over HTTP localhost:8000); with TLS grpcs:// or "
        "https://; several servers share the images",
    )
    server.add_argument("--protocol", choices=("grpc", "http"), help="default: grpc, or as in --url")
    if model:
        server.add_argument("--model", metavar="NAME", help="model to ask (default classify, with --pixels resnet50)")
        server.add_argument("--pixels", action="store_true", help="decode in the client and send pixels (needs OpenCV)")
        server.add_argument(
            "--shm", action="store_true", help="pass images in shared memory to a server on this machine"
        )
    if run:
        server.add_argument(
            "--concurrency",
            type=positive,
            metavar="N",
            help=f"images in flight at once (default {CONCURRENCY} for each --url)",
        )
    server.add_argument(
        "--timeout-s", type=seconds, default=300.0, metavar="S", help="longest wait for one answer (default 300)"
    )
    if run:
        server.add_argument(
            "--retry-s",
            type=seconds,
            default=30.0,
            metavar="S",
            help="during a run, how long to retry while the server is unavailable or fails (default %(default)g)",
        )
    server.add_argument(
        "--traceparent",
        type=traceparent,
        metavar="ID",
        help="W3C trace context to send with each request, 00-TRACE-SPAN-01 in hex (default: of the environment, "
        "TRACEPARENT)",
    )
    access = parser.add_argument_group("access")
    access.add_argument("--tls-ca", type=Path, metavar="FILE", help="certificates to trust (PEM; default the system's)")
    access.add_argument("--tls-cert", type=Path, metavar="FILE", help="the client's certificate (PEM), for mutual TLS")
    access.add_argument("--tls-key", type=Path, metavar="FILE", help="the private key of --tls-cert (PEM)")
    access.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="header to send with each request; can be repeated",
    )
    access.add_argument(
        "--token-file", type=Path, metavar="FILE", help="file with a token, sent as 'authorization: Bearer TOKEN'"
    )


def images_and_labels(options: argparse.Namespace) -> tuple[Images, Labels]:
    """What is at the paths, and the ground truth for it."""
    class_map = read_class_map(options.class_map) if options.class_map else None
    by_folder = options.labels == "folders"
    labels = Labels({})
    if options.labels and not by_folder:
        labels = read_labels(Path(options.labels), class_map)
    beside = [path for path in (None if by_folder else options.labels, options.class_map, options.names) if path]
    images = find_images(options.paths, named=labels.ids, beside=beside)
    if by_folder:
        labels = labels_of_folders((item.name for item in images.items), class_map)
    return images, labels


def server_options(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of AsyncClient that say where the server is."""
    context = options.traceparent or _inherited_traceparent()
    headers = {"traceparent": context} if context else {}
    for header in options.header:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise DatasetError(f"header '{header}' must be 'NAME: VALUE'")
        headers[name.strip()] = value.strip()
    if options.token_file:
        headers["authorization"] = f"Bearer {next(lines_of(options.token_file), '').strip()}"
    access = Access(options.tls_ca, options.tls_cert, options.tls_key, headers)
    urls = options.url or [None]
    tls_files = options.tls_ca or options.tls_cert
    if tls_files and not any(Endpoint.parse(url, options.protocol).tls for url in urls):
        raise DatasetError(f"'{tls_files}' is for TLS, but no --url asks for it: write grpcs:// or https:// before it")
    names = getattr(options, "names", None)
    return {
        "url": options.url,
        "names": read_names(names) if names else None,
        "protocol": options.protocol,
        "access": access,
        "concurrency": options.concurrency,
        "timeout_s": options.timeout_s,
        "retry_s": options.retry_s,
    }


def model_options(options: argparse.Namespace) -> dict[str, Any]:
    """Those that say how to use it."""
    return {"model": options.model, "pixels": options.pixels, "shm": options.shm}


def traceparent(text: str) -> str:
    """A trace context as W3C writes it."""
    if not re.fullmatch(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", text):
        raise argparse.ArgumentTypeError(
            f"must be version, trace, span and flags in hex, such as 00-{32 * '1'}-{16 * '2'}-01, not '{text}'"
        )
    return text


def _inherited_traceparent() -> str | None:
    """That of the environment, by OpenTelemetry's name; what is none is ignored, as its specification asks."""
    try:
        return traceparent(os.environ.get("TRACEPARENT", ""))
    except argparse.ArgumentTypeError:
        return None


def positive(text: str) -> int:
    """An integer from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return value


def seconds(text: str) -> float:
    """A time that is not endless."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds, not {text}")
    return value


def percent(text: str) -> float:
    """A share, such as 90 or 90%."""
    value = float(text.removesuffix("%"))
    if not (value == 0 or 1 < value <= 100):  # 0.9 is more likely a slip than nine thousandths
        raise argparse.ArgumentTypeError(f"is in per cent, above 1 up to 100: write 90 rather than 0.9, not {text}")
    return value
