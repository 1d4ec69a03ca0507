"""The model repositories that benchmarks serve."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from resnet50_triton.server.deploy import Deployment


def with_kernel_alone(repository: Path) -> Path:
    """Take the other models out of a repository that was made to be served."""
    for other in ("classify", "preprocess"):
        shutil.rmtree(repository / other)
    return repository


def scratch_repository(stack: ExitStack, sample: Path, card: str) -> Path:
    """A repository of the kernel model alone, in a folder that goes with the stack."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="resnet50-bench-")))
    return with_kernel_alone(Deployment.of_sample(sample, card).make_repository(folder / "models"))
