"""A process that uses a card: CARD_DIRECTORY UUID. Says as JSON what it has, and leaves at a line of input."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from resnet50_triton.errors import CardError
from resnet50_triton.runtime.directory import ServerDirectory, process_key
from resnet50_triton.runtime.lease import Lease, User


def main(card_directory: str, uuid: str) -> None:
    server = process_key(os.getpid())
    directory = ServerDirectory(server)
    (directory.path / "card.xclbin").write_text(uuid)
    lease = None
    try:
        user = User.here(server, f"model of {server}", f"{uuid}.xclbin", uuid)
        lease = Lease(Path(card_directory), "xrt:0", user)
        lease.acquire(0.2 if lease.others() else 10)
    except CardError as error:
        print(json.dumps({"pid": os.getpid(), "folder": str(directory.path), "error": str(error)}), flush=True)
    else:
        print(json.dumps({"pid": os.getpid(), "folder": str(directory.path), "entry": str(lease.entry)}), flush=True)
    sys.stdin.readline()
    if lease is not None:
        lease.close()
    directory.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
