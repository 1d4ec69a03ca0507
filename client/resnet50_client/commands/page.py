"""`resnet50-client page`: a web page that shows what the network makes of a photo."""

from __future__ import annotations

import argparse
import errno

from resnet50_client.commands.arguments import add_names, add_server, server_options
from resnet50_client.commands.interrupt import run_until_done
from resnet50_client.errors import DatasetError
from resnet50_client.screen import consoles

HELP = "show in the browser what the network makes of a photo, and how the server bears load"
PORT = 8003  # next to those of the server
RETRY_S = 1.0  # a person waits: the page says so and tries again by itself
EXAMPLES = """\
examples:
  resnet50-client page                                  then open http://127.0.0.1:8003
  resnet50-client page --url http://card7:8000          the server may be elsewhere, the page is on this machine

Drop, paste or choose photos, or take one with the camera. The page listens on 127.0.0.1 only, answers no other site,
and loads nothing from elsewhere. Ctrl-C ends it.

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument(
        "--port", type=int, default=PORT, metavar="PORT", help=f"of the page (default {PORT}; 0: a free one)"
    )
    add_names(parser)
    add_server(parser, model=False)
    parser.set_defaults(retry_s=RETRY_S)


def run(options: argparse.Namespace) -> bool:
    """Serve the page until Ctrl-C.

    Raises:
        DatasetError: several servers, or a port that cannot be had.
    """
    from resnet50_client.page.site import serve_page  # slow to load, and only needed here

    if len(options.url or []) > 1:
        raise DatasetError("the page shows one server: give one --url")
    if not 0 <= options.port < 65536:
        raise DatasetError(f"port {options.port} is not 0 to 65535")
    out, _ = consoles()
    try:
        run_until_done(
            serve_page(server_options(options), options.port, lambda url: out.print(f"{url}  (Ctrl-C ends it)"))
        )
    except KeyboardInterrupt:
        return True
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise DatasetError(
            f"cannot listen on port {options.port}: {error.strerror} (choose another with --port; 0: a free one)"
        ) from error
    return True
