"""`resnet50-pynq make-repository`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from .arguments import WrongUsage
from .deployment import add_deployment, deployment_of

HELP = "write a complete model repository, for a Triton of your own, KServe, an object store or `serve`"


def add_arguments(parser: ArgumentParser) -> None:
    """What is deployed, and where to."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIRECTORY", help="the folder to write")
    parser.add_argument("--force", action="store_true", help="replace an existing model repository")
    parser.add_argument(
        "--object-store",
        action="store_true",
        help="leave out batchstrategy.so, which Triton cannot load from an object store; without it a request of no "
        "images, or with a huge id, fails its whole batch",
    )
    add_deployment(parser)


def run(args: Namespace) -> int:
    """Write the repository, and print how to load it."""
    from ..server.deploy import write_repository
    from ..server.repository import describe

    deployment = deployment_of(args)
    if deployment is None:
        raise WrongUsage("give both --xclbin and --fcweights, or --sample DIRECTORY")
    write_repository(args.output, deployment, args.force, args.object_store)
    print(
        f"wrote {args.output}: {describe(args.output)}\n"
        f"  this project's server   resnet50-pynq serve --model-repository {args.output}\n"
        f"  a Triton of your own    tritonserver --model-repository {args.output}   (its Python needs this package)"
    )
    return 0
