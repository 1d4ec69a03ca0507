"""`resnet50-pynq` where a software card counts as an Alveo: to the locks, in the folder that comes first, it is one."""

import sys
from pathlib import Path

from resnet50_triton.cli import main
from resnet50_triton.runtime import instance
from resnet50_triton.standalone import opened

for module in (instance, opened):
    module.card_directory = lambda _card, _directory: Path(sys.argv[1])

if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
