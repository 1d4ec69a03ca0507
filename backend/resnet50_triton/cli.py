"""The command `resnet50-pynq`: xclbins, the sample, the server, and what runs without Triton."""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from . import __version__
from .errors import Resnet50Error
from .server.presets import PRESETS
from .xclbin.u250 import PLATFORM

CARD_OF_XCLBIN = "software:N or xrt:N (default: the card that the image is for)"

EPILOG = """\
examples:
  resnet50-pynq build-sample -o build/sample
  resnet50-pynq serve --sample build/sample
  resnet50-pynq serve --xclbin resnet50.xclbin --fcweights fcweights.csv --card xrt:0
  resnet50-pynq serve --sample build/sample --card timing:0 --preset throughput
  resnet50-pynq run --xclbin card.xclbin --fcweights fcweights.csv --pixels in.npy -o out.npz
  resnet50-pynq infer --xclbin card.xclbin --fcweights fcweights.csv --img_path photos --max_bs 16 --labels labels.txt
  resnet50-pynq bench --xclbin card.xclbin --fcweights fcweights.csv --bs 100
  resnet50-pynq doctor --xclbin resnet50.xclbin --fcweights fcweights.csv --card xrt:0
  resnet50-pynq capacity --rate 1e6 --latency-ms 50 --cards-per-machine 4

exit codes: 0 done, 1 failed (the reason is printed), 2 wrong usage, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit."""
    # A plain kill ends us as Ctrl-C does: servers are stopped and temporary files removed on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    args = build_parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        code = command(args)
    except Resnet50Error as error:
        print(f"resnet50-pynq: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def build_parser() -> argparse.ArgumentParser:
    """The options of the command and its subcommands."""
    parser = argparse.ArgumentParser(
        prog="resnet50-pynq",
        description="Serve the Xilinx ResNet50-PYNQ accelerator, or a software card that computes the same bits.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.set_defaults(command=function)
        return command

    c = add("build-xclbin", build_xclbin, "make an xclbin for the software card from network parameters")
    c.add_argument("--network", type=Path, required=True, metavar="NET.npz", help="the network's parameters")
    c.add_argument("--kernel", choices=("logits", "top5"), default="logits", help="what it returns (default: logits)")
    c.add_argument("-o", "--output", type=Path, required=True, metavar="CARD.xclbin")

    c = add("import-network", import_network, "read the trained parameters out of a checkout of Xilinx/ResNet50-PYNQ")
    c.add_argument("checkout", type=Path, metavar="CHECKOUT")
    c.add_argument("-o", "--output", type=Path, required=True, metavar="NET.npz")

    c = add("build-sample", build_sample, "make the sample: a network, its weights and pictures that it knows")
    c.add_argument("-o", "--output", type=Path, required=True, metavar="DIRECTORY")

    c = add("run", run, "run the network on prepared pixels, without Triton")
    _add_deployment(c, required=True)
    c.add_argument("--pixels", type=Path, required=True, metavar="IN.npy", help="uint8 (N, 224, 224, 3), B, G, R")
    c.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.npz", help="logits and top5")

    c = add("infer", infer, "classify images without Triton (the original's multithreaded application)")
    c.add_argument("--xclbin", type=Path, required=True, help="the xclbin")
    c.add_argument("--fcweights", type=Path, required=True, help="the FC weights")
    c.add_argument("--img_path", type=Path, required=True, help="an image, or a folder of images")
    c.add_argument("--max_bs", type=_positive, default=1, help="images in a start of the kernel (default: %(default)s)")
    c.add_argument("--preprocess_workers", type=_positive, default=1, help="decoding threads (default: %(default)s)")
    c.add_argument("--profile", action="store_true", help="also give when each image was where in the pipeline")
    c.add_argument("--outfile", type=Path, help="write the results there, as CSV (default: print them)")
    c.add_argument("--labels", type=Path, help="true classes, '<filename> <class id>' a line: print the accuracy")
    c.add_argument("--card", help=CARD_OF_XCLBIN)

    c = add("bench", bench, "measure the kernel alone: throughput, latency, power (the original's synthetic benchmark)")
    c.add_argument("--xclbin", type=Path, default=Path("resnet50.xclbin"), help="the xclbin (default: %(default)s)")
    c.add_argument(
        "--fcweights", type=Path, default=Path("fcweights.csv"), help="the FC weights (default: %(default)s)"
    )
    c.add_argument("--shell", default=PLATFORM, help="of several Alveos take the one with it (default: %(default)s)")
    c.add_argument("--bs", type=_positive, default=1, help="images in a start of the kernel (default: %(default)s)")
    c.add_argument("--reps", type=_positive, default=100, help="starts (default: %(default)s)")
    c.add_argument("--card", help=CARD_OF_XCLBIN)

    c = add("doctor", doctor, "check that all is here that serving needs, and say how to repair what is not")
    c.add_argument("--xclbin", type=Path, help="an xclbin that has to fit the card")
    c.add_argument("--fcweights", type=Path, help="FC weights that have to be readable")
    c.add_argument("--card", help="the card that has to work (default: the one that the image is for)")
    c.add_argument("--url", help="HTTP address of a server that has to be up (default: looks at 127.0.0.1:8000)")
    c.add_argument("--json", action="store_true", help="print the findings as JSON")

    c = add("capacity", capacity, "how many cards, decoding cores and machines a load needs (simulated)")
    c.add_argument("--rate", type=_amount, required=True, help="images a second of the whole fleet")
    c.add_argument("--latency-ms", type=_amount, required=True, help="what is promised, from arrival to answer")
    c.add_argument("--percent", type=_amount, default=99.0, help="for how many percent of them (default: 99)")
    c.add_argument("--cards-per-machine", type=_positive, default=1, help="(default: %(default)s)")
    c.add_argument("--cores-per-machine", type=_positive, help="that decode (default: 80 %% busy at the cards' peak)")
    c.add_argument(
        "--card-curve",
        type=_curve,
        default=(1.6e-3, 0.368e-3),
        metavar="START,IMAGE",
        help="ms a start costs, and ms an image adds (default: 1.6,0.368, an Alveo U250's published figures)",
    )
    c.add_argument("--buffer-sets", type=_positive, default=3, help="as the model's parameter (default: %(default)s)")
    c.add_argument("--max-batch", type=_positive, default=128, help="images in a start (default: %(default)s)")
    c.add_argument("--request-images", type=_positive, default=1, help="images in a request (default: %(default)s)")
    c.add_argument("--decode-ms", type=_amount, default=1.235, help="of a core, an image (default: 1.235); 0: pixels")
    c.add_argument("--copy-ms", type=_amount, default=0.04, help="host to card, an image (default: 0.04)")
    c.add_argument("--overhead-ms", type=_amount, default=2.6, help="Triton and gRPC, a request (default: 2.6)")
    c.add_argument("--image-kb", type=_amount, default=110.0, help="on the wire, 1000 bytes (default: 110; pixels 151)")
    c.add_argument("--json", action="store_true", help="print the plan as JSON")

    c = add("serve", serve, "start tritonserver with the models on a card")
    _add_deployment(c, required=False)
    c.add_argument("--sample", type=Path, metavar="DIRECTORY", help="serve the sample built there (instead of files)")
    c.add_argument(
        "--as-is",
        metavar="REPOSITORY",
        help="serve this model repository unchanged (instead of files): a folder, or a URL that tritonserver reads, s3://...",
    )
    c.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        help="the original's settings: batches of 1 and 4 decoding threads, or batches of 100 and 16",
    )
    c.add_argument("--labels", type=Path, help="class names, one a line, for the classification extension")
    c.add_argument("--repository", type=Path, help="the models (default: this project's model_repository/)")
    c.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="MODEL.NAME=VALUE",
        help="a parameter of a model, such as resnet50.threads=4; may be repeated",
    )
    c.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    c.add_argument("--http-host", metavar="HOST", help="HTTP's, where it is to be another than --host")
    c.add_argument("--http-port", type=int, default=8000)
    c.add_argument("--grpc-port", type=int, default=8001)
    c.add_argument("--metrics-port", type=int, default=8002)
    c.add_argument("--free-ports", action="store_true", help="listen on ports that are free instead")
    c.add_argument("--tls-cert", type=Path, metavar="PEM", help="encrypt gRPC; HTTP then stays on 127.0.0.1")
    c.add_argument("--tls-key", type=Path, metavar="PEM", help="the private key of --tls-cert")
    c.add_argument("--tls-client-ca", type=Path, metavar="PEM", help="clients need a certificate of this authority")
    c.add_argument(
        "--admin-key-file",
        type=Path,
        metavar="FILE",
        help="holds the key that opens model control, shared memory, trace and log settings, for --header "
        "'triton-grpc-protocol-admin-key: KEY' (default: closed but for shared memory on 127.0.0.1)",
    )
    c.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="=--FLAG",
        help="an option of tritonserver, such as --option=--grpc-use-ssl=true; may be repeated",
    )
    c.add_argument(
        "--log", type=Path, help="where tritonserver's output goes, - shows it (default: shown when it fails)"
    )
    c.add_argument(
        "run",
        nargs="*",
        metavar="-- PROGRAM ARGUMENT",
        help="run a program while the server is up, then end both; {grpc}, {http} and {metrics} become the addresses",
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


def _number(text: str) -> float:
    """A finite number; not a number, which compares as false, where the text is none."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _setting(text: str) -> tuple[str, str, str]:
    """Model, name and value of MODEL.NAME=VALUE."""
    path, equals, value = text.partition("=")
    model, dot, name = path.partition(".")
    if not (model and dot and name and equals):
        raise argparse.ArgumentTypeError(f"'{text}' is not MODEL.NAME=VALUE, such as resnet50.threads=4")
    return model, name, value


def _amount(text: str) -> float:
    number = _number(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 up")
    return number


def _curve(text: str) -> tuple[float, float]:
    parts = text.split(",")
    if len(parts) != 2:
        raise argparse.ArgumentTypeError(f"'{text}' is not START,IMAGE in ms, such as 1.6,0.368")
    start_ms, image_ms = (_amount(part) for part in parts)
    return start_ms / 1e3, image_ms / 1e3


def _add_deployment(parser: argparse.ArgumentParser, required: bool) -> None:
    parser.add_argument("--xclbin", type=Path, required=required, help="the xclbin")
    parser.add_argument(
        "--fcweights", type=Path, required=required, help="the FC weights: 1000 x 2048 int8, CSV or .npy"
    )
    parser.add_argument("--card", default="software:0", help="software:N, xrt:N or timing:N (default: software:0)")


def build_xclbin(args: argparse.Namespace) -> int:
    """Write a software xclbin."""
    from .network.parameters import Network
    from .xclbin.kernel_info import write_xclbin

    write_xclbin(args.output, Network.load(args.network), args.kernel)
    print(f"wrote {args.output} ({args.kernel} kernel, {args.output.stat().st_size} bytes)")
    return 0


def import_network(args: argparse.Namespace) -> int:
    """Write net.npz from an upstream checkout."""
    from .files import write_atomically
    from .network.importer import import_checkout

    write_atomically(args.output, import_checkout(args.checkout).to_bytes())
    print(f"wrote {args.output}")
    return 0


def build_sample(args: argparse.Namespace) -> int:
    """Make the sample, unless it is there already."""
    from .sample.build import build_sample as build

    build(args.output, progress=print)
    return 0


def run(args: argparse.Namespace) -> int:
    """Pixels through one card, results to a file."""
    from .standalone.run import run_file

    count, elapsed_s = run_file(args.xclbin, args.fcweights, args.card, args.pixels, args.output)
    print(f"{count} images in {elapsed_s:.3f} s on {args.card}: {args.output}")
    return 0


def infer(args: argparse.Namespace) -> int:
    """The original application; 1 if not one image could be classified."""
    from .standalone.infer import infer as run_infer

    options = {name: value for name, value in vars(args).items() if name != "command"}
    return 0 if run_infer(**options) else 1


def bench(args: argparse.Namespace) -> int:
    """The kernel alone, measured."""
    from .standalone.bench import bench as run_bench

    run_bench(args.xclbin, args.fcweights, args.shell, args.bs, args.reps, args.card)
    return 0


def doctor(args: argparse.Namespace) -> int:
    """Every check, and 1 if one failed."""
    from .standalone.doctor import as_json, as_text, examine, passed
    from .standalone.doctor.finding import Wanted

    findings = examine(Wanted(args.xclbin, args.fcweights, args.card, args.url))
    print(as_json(findings) if args.json else as_text(findings))
    return 0 if passed(findings) else 1


def capacity(args: argparse.Namespace) -> int:
    """Plan a fleet; the steps of the search go to stderr."""
    from .capacity.model import Machine
    from .capacity.plan import as_text, cores_for, plan

    start_s, image_s = args.card_curve
    machine = Machine(
        cards=args.cards_per_machine,
        start_s=start_s,
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


def serve(args: argparse.Namespace) -> int:
    """Run the server until Ctrl-C, or for as long as the given program runs."""
    from .server.access import Access, read_admin_key
    from .server.deploy import Deployment, serve_until_done
    from .server.process import Ports

    ports = Ports(args.host, args.http_port, args.grpc_port, args.metrics_port)
    if args.free_ports:
        ports = Ports.free(args.host)
    admin_key = read_admin_key(args.admin_key_file) if args.admin_key_file else None
    access = Access(args.tls_cert, args.tls_key, args.tls_client_ca, admin_key)
    http_host = args.http_host or ("127.0.0.1" if access.tls_cert else args.host)  # Triton cannot encrypt it
    ports = replace(ports, http_host=http_host)
    parameters: dict[str, dict[str, str]] = {}
    for model, name, value in args.set:
        parameters.setdefault(model, {})[name] = value
    models: Deployment | str
    if args.as_is:
        if args.sample or args.xclbin or args.fcweights or parameters or args.preset:
            print(
                "resnet50-pynq serve: --as-is REPOSITORY has its files and parameters: give no others and no preset",
                file=sys.stderr,
            )
            return 2
        models = args.as_is
    elif args.sample:
        models = replace(Deployment.of_sample(args.sample, args.card), parameters=parameters, preset=args.preset)
    elif args.xclbin and args.fcweights:
        models = Deployment(args.xclbin, args.fcweights, args.labels, args.card, parameters, args.preset)
    else:
        print(
            "resnet50-pynq serve: give --sample DIRECTORY, or both --xclbin and --fcweights, or --as-is REPOSITORY",
            file=sys.stderr,
        )
        return 2
    options = [*access.options((args.host, http_host), args.option), *args.option]
    return serve_until_done(models, args.repository, ports, args.log, args.run, options)


if __name__ == "__main__":
    main()
