"""`resnet50-client classify`: name what is in images."""

from __future__ import annotations

import argparse
import json
from contextlib import aclosing
from pathlib import Path

from resnet50_client.api import AsyncClient
from resnet50_client.commands.arguments import add_labels, add_server, images_and_labels, model_options, positive
from resnet50_client.commands.arguments import server_options as server_of
from resnet50_client.commands.interrupt import run_until_done
from resnet50_client.commands.stream import record_answers, warn_of_unreachable
from resnet50_client.errors import DatasetError
from resnet50_client.images import Images
from resnet50_client.labels import Labels, sample_remark
from resnet50_client.results import EXPORTS, Results, as_json, require_writable
from resnet50_client.screen import Rows, consoles, print_plain

HELP = "name what is in images"
EXAMPLES = """\
examples:
  resnet50-client classify cat.jpg                       class, score and margin of one image
  resnet50-client classify holiday/ --top 3              all images of a folder, three classes each
  resnet50-client classify a.jpg --url http://card7:8000 over HTTP, on another machine
  resnet50-client classify photos.zip --json | jq .top[0]  one JSON object for each image
  curl -s https://example.org/a.jpg | resnet50-client classify -

The score is the accelerator's integer accumulator: it orders classes and is not a probability. The margin is
the score minus that of the next class. An xclbin that returns class ids only gives neither.

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="image, folder (searched to any depth), archive, list, or - (stdin)"
    )
    add_labels(parser, required=False)
    parser.add_argument(
        "--top", type=positive, default=1, metavar="K", help="number of classes for each image (default 1)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line and image")
    parser.add_argument(
        "--outfile", type=Path, metavar="FILE", help="at the end, write every answer to FILE (.csv or .jsonl)"
    )
    add_server(parser)


def run(options: argparse.Namespace) -> bool:
    """Classify images and print a row, or a JSON line, for each.

    Returns:
        Whether every image was classified.
    """
    outfile: Path | None = options.outfile
    if outfile and outfile.suffix not in EXPORTS:
        raise DatasetError(f"output file '{outfile}' must end in .csv or .jsonl, which chooses its format")
    require_writable(outfile)
    images, labels = images_and_labels(options)
    client = AsyncClient(**server_of(options), **model_options(options), top=options.top)
    with Results() as results:
        results.begin(((item.name, labels.find(item.name)) for item in images.items), {}, resume=False)
        try:
            return run_until_done(_classify(client, images, labels, results, options.json))
        finally:
            if outfile:
                results.export(outfile)


async def _classify(client: AsyncClient, images: Images, labels: Labels, results: Results, as_lines: bool) -> bool:
    screen = out, err = consoles()
    rows = Rows(out, (item.name for item in images.items), labelled=bool(labels.ids), top=client.top)
    failed = 0
    async with client:
        warn_of_unreachable(client, err)
        async with aclosing(record_answers(client, images.items, results, screen)) as answers:
            async for scored in answers:
                failed += scored.prediction.error is not None
                if as_lines:
                    print_plain(out, json.dumps(as_json(scored)))
                else:
                    rows.show(scored)
        if remark := sample_remark(client.names):
            err.print(remark, style="yellow")
    if images.skipped.total:
        err.print(f"skipped: {images.skipped}")
    if failed:
        err.print(f"{failed} of {len(images.items)} images failed")
    return not failed
