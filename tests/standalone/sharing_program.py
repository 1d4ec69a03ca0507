"""`resnet50-pynq` where a software card counts as an Alveo: to the locks, in the folder that comes first, it is one."""

import sys
from pathlib import Path

from resnet50_triton.cli import main
from resnet50_triton.standalone import shared

shared.is_shared = lambda _card: True
shared.runtime_directory = lambda _card, _server: Path(sys.argv[1])

if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
