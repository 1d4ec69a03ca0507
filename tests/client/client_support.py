"""What several tests of the client use and no fixture is needed for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

Run = Callable[..., "subprocess.CompletedProcess[str]"]
COMMAND = [sys.executable, "-m", "resnet50_client.cli"]
CORRUPT = b"\xff\xd8\xff\xe0 not much of a JPEG"
