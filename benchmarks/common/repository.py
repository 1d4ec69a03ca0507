"""The model repositories that benchmarks serve."""

from __future__ import annotations

import shutil
from pathlib import Path


def with_kernel_alone(repository: Path) -> Path:
    """Take the other models out of a repository that was made to be served."""
    for other in ("classify", "preprocess"):
        shutil.rmtree(repository / other)
    return repository
