"""`resnet50-pynq capacity`"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import replace

from .arguments import amount, positive

HELP = "compute how many cards, decoding cores and machines a load needs"


def add_arguments(parser: ArgumentParser) -> None:
    """The load, the latency target and the machine."""
    c = parser
    c.add_argument("--rate", type=amount, required=True, help="images/s of the whole fleet")
    c.add_argument("--latency-ms", type=amount, required=True, help="latency target, from arrival to answer")
    c.add_argument("--percent", type=amount, default=99.0, help="share of the requests that must meet it (default: 99)")
    c.add_argument("--cards-per-machine", type=positive, default=1, help="cards in a machine (default: %(default)s)")
    c.add_argument(
        "--cores-per-machine",
        type=positive,
        help="decoding cores in a machine (default: as many as are 80 %% busy at the cards' peak)",
    )
    c.add_argument(
        "--latency-model",
        type=_curve,
        default=(1.6e-3, 0.368e-3),
        metavar="RUN,IMAGE",
        help="fixed ms of a run, and ms per image (default: 1.6,0.368, an Alveo U250's published figures)",
    )
    c.add_argument(
        "--buffer-sets", type=positive, default=3, help="sets of device buffers per card (default: %(default)s)"
    )
    c.add_argument("--max-batch", type=positive, default=128, help="largest batch size (default: %(default)s)")
    c.add_argument("--request-images", type=positive, default=1, help="images in a request (default: %(default)s)")
    c.add_argument(
        "--decode-ms",
        type=amount,
        default=1.235,
        help="decoding time of a core per image; 0 for pixels (default: 1.235)",
    )
    c.add_argument("--copy-ms", type=amount, default=0.04, help="copy to the card, per image (default: 0.04)")
    c.add_argument("--overhead-ms", type=amount, default=2.6, help="Triton and gRPC, per request (default: 2.6)")
    c.add_argument(
        "--image-kb", type=amount, default=110.0, help="size on the wire in 1000 bytes (default: 110; pixels 151)"
    )
    c.add_argument("--json", action="store_true", help="print the plan as JSON")


def run(args: Namespace) -> int:
    """Plan a fleet; the steps of the search go to stderr."""
    from ..capacity.model import Machine
    from ..capacity.plan import as_text, cores_for, plan

    run_s, image_s = args.latency_model
    machine = Machine(
        cards=args.cards_per_machine,
        run_s=run_s,
        image_s=image_s,
        max_batch=args.max_batch,
        buffer_sets=args.buffer_sets,
        decode_s=args.decode_ms / 1e3,
        copy_s=args.copy_ms / 1e3,
        overhead_s=args.overhead_ms / 1e3,
        request_images=args.request_images,
    )
    machine = replace(machine, cores=args.cores_per_machine or cores_for(machine))
    made = plan(machine, args.rate, args.latency_ms / 1e3, args.percent, 1e3 * args.image_kb, _say)
    print(json.dumps(made.as_dict(), indent=2) if args.json else as_text(made))
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _curve(text: str) -> tuple[float, float]:
    parts = text.split(",")
    if len(parts) != 2:
        raise ArgumentTypeError(f"'{text}' is not RUN,IMAGE in ms, such as 1.6,0.368")
    start_ms, image_ms = (amount(part) for part in parts)
    return start_ms / 1e3, image_ms / 1e3
