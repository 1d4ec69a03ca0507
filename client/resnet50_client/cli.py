"""The command `resnet50-client`: from options to calls, and exit codes."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sqlite3
import sys
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from resnet50_client import commands
from resnet50_client.client import TOP, AsyncClient
from resnet50_client.doctor import diagnose
from resnet50_client.endpoint import Access, Endpoint
from resnet50_client.errors import ClientError, DatasetError
from resnet50_client.images import Images, find_images
from resnet50_client.journal import Journal, digest
from resnet50_client.labels import (
    Labels,
    labels_of_folders,
    read_class_map,
    read_labels,
    read_lines,
    read_names,
)
from resnet50_client.outfile import OutFile
from resnet50_client.parser import build_parser
from resnet50_client.perf_data import write_perf_data
from resnet50_client.report import consoles
from resnet50_client.trace import Trace

OK, NOT_ALL_WELL, CANNOT_RUN, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: without the program's name; None takes those of the process.

    Returns:
        The exit code, as `--help` lists them.
    """
    options = build_parser().parse_args(arguments)
    err = consoles()[1]
    try:
        return OK if _RUN[options.command](options) else NOT_ALL_WELL
    except ClientError as error:
        err.print(f"resnet50-client: {error}", style="red")
        return CANNOT_RUN
    except sqlite3.OperationalError as error:
        err.print(f"resnet50-client: notes in a temporary file: {error} (TMPDIR names another folder)", style="red")
        return CANNOT_RUN
    except OSError as error:  # such as a full disk under --outfile
        err.print(f"resnet50-client: {error}", style="red")
        return CANNOT_RUN
    except KeyboardInterrupt:
        err.print("resnet50-client: interrupted")
        return INTERRUPTED


def _classify(options: argparse.Namespace) -> bool:
    images, labels = _images_and_labels(options)
    client = AsyncClient(**_server_options(options), **_model_options(options), top=options.top)
    out, err = consoles()
    with ExitStack() as files:
        file = files.enter_context(OutFile(options.outfile)) if options.outfile else None
        output = commands.Output(out, err, options.json, file)
        return _finish(commands.classify(client, images, labels, output))


def _accuracy(options: argparse.Namespace) -> bool:
    outfile, profile = options.outfile, options.profile or options.trace is not None
    journal = options.journal or (outfile and outfile.with_name(f"{outfile.name}.journal"))
    trace = options.trace or (outfile.with_suffix(".trace.json") if outfile else Path("profile.trace.json"))
    if options.resume and not journal:
        raise DatasetError("--resume needs the journal of the earlier run: name its --outfile or its --journal")
    images, labels = _images_and_labels(options)
    client = AsyncClient(**_server_options(options), **_model_options(options), top=TOP)
    about = {
        "images": len(images.items),
        "digest_of_image_names": digest(item.name for item in images.items),
        "digest_of_labels": digest(f"{name} {class_id}" for name, class_id in labels.ids.items()),
        "model": client.model,
    }
    out, err = consoles()
    with ExitStack() as files:
        output = commands.Output(
            out,
            err,
            options.json,
            journal=files.enter_context(Journal(journal, about, resume=options.resume)) if journal else None,
            file=files.enter_context(OutFile(outfile, profile=profile)) if outfile else None,
            trace=files.enter_context(Trace(trace)) if profile else None,
            report=options.report,
            profile=profile,
        )
        show = "none" if options.json else options.show
        demands = {"min_top1": options.min_top1, "allow_timing_card": options.allow_timing_card}
        return _finish(commands.accuracy(client, images, labels, output, show=show, **demands))


def _perf_data(options: argparse.Namespace) -> bool:
    images = find_images(options.paths)
    out, _ = consoles()
    written = write_perf_data(images.items[: options.limit], options.output, _server_options(options))
    for path, count in written:
        out.print(f"{path}: {count} images")
    return True


def _doctor(options: argparse.Namespace) -> bool:
    out, _ = consoles()
    well = True
    for finding in diagnose(_server_options(options), _model_options(options)):
        out.print(finding.line, style=None if finding.ok else "bold red")
        if not finding.ok:
            out.print(f"      fix: {finding.fix}")
        well &= finding.ok
    return well


_RUN = {"classify": _classify, "accuracy": _accuracy, "perf-data": _perf_data, "doctor": _doctor}


def _finish(work: Coroutine[Any, Any, bool]) -> bool:
    """As asyncio.run, where Ctrl-C cancels the work; in Python 3.10 it would strike whichever task runs just then."""
    if sys.version_info >= (3, 11):
        return asyncio.run(work)

    async def cancelled_by_interrupt() -> bool:
        task = asyncio.current_task()
        if task:
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
        return await work

    try:
        return asyncio.run(cancelled_by_interrupt())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _images_and_labels(options: argparse.Namespace) -> tuple[Images, Labels]:
    class_map = read_class_map(options.class_map) if options.class_map else None
    by_folder = options.labels == "folders"
    labels = Labels({})
    if options.labels and not by_folder:
        labels = read_labels(Path(options.labels), class_map)
    paths = [Path("/dev/stdin") if path == "-" else Path(path) for path in options.paths]
    images = find_images(paths, named=labels.ids)
    if by_folder:
        labels = labels_of_folders((item.name for item in images.items), class_map)
    return images, labels


def _server_options(options: argparse.Namespace) -> dict[str, Any]:
    headers = {}
    for header in options.header:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise DatasetError(f"header '{header}' must be 'NAME: VALUE'")
        headers[name.strip()] = value.strip()
    if options.token_file:
        headers["authorization"] = f"Bearer {read_lines(options.token_file)[0].strip()}"
    access = Access(options.tls_ca, options.tls_cert, options.tls_key, headers)
    urls = options.url or [None]
    tls_files = options.tls_ca or options.tls_cert
    if tls_files and not any(Endpoint.parse(url, options.protocol).tls for url in urls):
        raise DatasetError(f"'{tls_files}' is for TLS, but no --url asks for it: write grpcs:// or https:// before it")
    return {
        "url": options.url,
        "protocol": options.protocol,
        "access": access,
        "window": options.window,
        "timeout_s": options.timeout_s,
        "retry_s": options.retry_s,
    }


def _model_options(options: argparse.Namespace) -> dict[str, Any]:
    names = getattr(options, "names", None)
    return {
        "model": options.model,
        "pixels": options.pixels,
        "shm": options.shm,
        "names": read_names(names) if names else None,
    }


if __name__ == "__main__":
    sys.exit(main())
