"""`resnet50-client doctor`: find out why a client or server does not work."""

from __future__ import annotations

import argparse

from resnet50_client.commands.arguments import add_server, model_options, server_options
from resnet50_client.doctor import diagnose
from resnet50_client.screen import consoles

HELP = "find out why a client or server does not work"
EXAMPLES = """\
examples:
  resnet50-client doctor
  resnet50-client doctor --url https://gateway/triton --token-file token.txt

Checks this machine and the server, and prints a fix for each fault. `resnet50-pynq doctor`, on the server's machine,
checks PYNQ, XRT and the card.

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    add_server(parser, run=False)
    parser.set_defaults(concurrency=1, retry_s=0.0)


def run(options: argparse.Namespace) -> bool:
    """Print what was found; whether all is well."""
    out, _ = consoles()
    well = True
    for finding in diagnose(server_options(options), model_options(options)):
        out.print(finding.line, style=None if finding.ok else "bold red")
        if not finding.ok:
            out.print(f"      fix: {finding.fix}")
        well &= finding.ok
    return well
