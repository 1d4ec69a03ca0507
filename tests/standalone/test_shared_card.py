"""Commands without Triton on a card that another process has: a run at a time, or an error that names both."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import random_network, random_pixels
from resnet50_triton.network.engine import open_engine
from resnet50_triton.network.parameters import Network
from resnet50_triton.runtime.lease import Lease, User, card_directory
from resnet50_triton.weights import load_fc_weights
from resnet50_triton.xclbin.kernel_info import read_xclbin, write_xclbin
from standalone_support import command, deployment

HOST = socket.gethostname()
PROGRAM = Path(__file__).with_name("sharing_program.py")
Sharing = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def sharing(tmp_path: Path) -> Iterator[Sharing]:
    """Starts commands in processes of their own, which share the one card; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: object) -> subprocess.Popen[str]:
        line = [sys.executable, PROGRAM, tmp_path / "locks", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        started.append(subprocess.Popen(list(map(str, line)), text=True, **pipes))  # type: ignore[call-overload]
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_processes_take_turns_with_one_image_and_refuse_another(sample: Path, sharing: Sharing, tmp_path: Path) -> None:
    pixels, out, other = tmp_path / "in.npy", tmp_path / "out.npz", tmp_path / "other.xclbin"
    np.save(pixels, random_pixels(1, 3))
    write_xclbin(other, random_network(4))
    busy = sharing("bench", *deployment(sample), "--bs", 4, "--reps", 100_000)
    assert busy.stdout is not None
    assert busy.stdout.readline().startswith("Card: software:0")

    beside = sharing("run", *deployment(sample), "--pixels", pixels, "-o", out)
    output, _ = beside.communicate(timeout=60)
    assert beside.returncode == 0, output
    network = Network.from_bytes(read_xclbin(sample / "card.xclbin").network_bytes())
    expected = open_engine(network).logits(np.load(pixels), load_fc_weights(sample / "fcweights.csv"))
    assert np.array_equal(np.load(out)["logits"], expected)

    words = ("--fcweights", sample / "fcweights.csv", "--pixels", pixels, "-o", out)
    refused = sharing("run", "--xclbin", other, *words)
    output, _ = refused.communicate(timeout=60)
    assert refused.returncode == 1
    assert (
        f"card 'software:0' is in use by command 'bench' (process {busy.pid} of {HOST}) with {sample}/card.xclbin"
        in output
    )
    assert f"it cannot hold {other} (UUID {read_xclbin(other).uuid}) for command 'run'" in output

    assert busy.poll() is None  # all the while
    busy.kill()
    busy.wait()
    free = sharing("run", "--xclbin", other, *words)
    output, _ = free.communicate(timeout=60)
    assert free.returncode == 0, output


@pytest.mark.parametrize("name", ["run", "infer", "bench"])
def test_a_model_that_has_the_alveo_is_named(
    sample: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESNET50_RUNTIME", str(tmp_path))
    lease = Lease(card_directory("xrt:0", tmp_path), "xrt:0", User.here("1", "resnet50", "theirs.xclbin", "77"))
    np.save(tmp_path / "in.npy", random_pixels(1, 1))
    more = {
        "run": ("--pixels", tmp_path / "in.npy", "-o", tmp_path / "out.npz"),
        "infer": ("--img_path", sample / "images"),
        "bench": (),
    }
    result = command(name, *deployment(sample), "--card", "xrt:0", *more[name])
    lease.close()
    assert result.returncode == 1
    assert (
        f"card 'xrt:0' is in use by model 'resnet50' (process {os.getpid()} of {HOST}) with theirs.xclbin"
        in result.stderr
    )
    assert f"for command '{name}' as well: use another card, or the same xclbin" in result.stderr
