"""Writes the sample into a folder: xclbin, FC weights, labels and held-out images; see README.txt in the result.

The same folder comes out of every build on one machine. Between machines everything is integer arithmetic or float64
that is rounded, so that only a different JPEG library or a last bit that falls on a rounding edge could show.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..decode import decode_image
from ..errors import SetupError
from ..network.engine import open_engine
from ..network.parameters import Network
from ..tensors import CLASSES, FEATURES
from ..weights import save_fc_weights
from ..xclbin.kernel_info import write_xclbin
from .drawings import CLASS_NAMES, Split, encode
from .head import fit_head
from .parameters import calibrated_network

RECIPE = 2  # raise it with every change that changes the result: older samples are then rebuilt
SEED = 50
TRAINING_PER_CLASS = 24
STAMP = "sample.json"

README = """\
This is a sample, not ImageNet.

The network has the topology and the precision of ResNet50 W1A2, but its binary weights are random (from a seed); only
its thresholds were calibrated and its last layer was fitted, to {count} classes of pictures that code draws. It shows
that the whole path works and says nothing about the accuracy of trained parameters on photos.

card.xclbin      xclbin for a software card, with the network in it (logits kernel)
net.npz          the network's parameters alone
fcweights.csv    weights of the last layer
labels.txt       the names of the 1000 classes; those after the first {count} are unused
images/          pictures that no part of the network was fitted to, and labels.txt: "<file> <class id>" a line
"""

Progress = Callable[[str], None]


def build_sample(directory: Path, held_out_per_class: int = 3, progress: Progress | None = None) -> bool:
    """Make the sample, unless the folder already holds it; the folder appears in one step, complete.

    Args:
        directory: made where absent; an older sample in it is replaced.
        held_out_per_class: how many pictures of each class go to images/, 1 to 99.
        progress: called with a line of text for each part of the work.

    Returns:
        Whether anything was built.

    Raises:
        SetupError: the folder holds something else, or cannot be written.
    """
    if not 1 <= held_out_per_class <= 99:
        raise SetupError(f"sample: held_out_per_class is {held_out_per_class}, expected 1..99")
    directory = Path(directory).absolute()
    stamp = json.dumps({"recipe": RECIPE, "held_out_per_class": held_out_per_class}) + "\n"
    if _stamp(directory) == stamp:
        return False
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _lock(directory.with_name(f".{directory.name}.lock")):
            found = _stamp(directory)
            if found == stamp:  # built by another process while this one waited
                return False
            if found is None and directory.exists() and any(directory.iterdir()):
                raise SetupError(f"sample: {directory} holds something else: name an empty or a new folder")
            partial = directory.with_name(f".{directory.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)  # of a build that was killed
            _write(partial, held_out_per_class, progress or (lambda _: None))
            (partial / STAMP).write_text(stamp)
            if directory.exists():
                shutil.rmtree(directory)
            partial.rename(directory)
    except OSError as error:
        raise SetupError(f"sample: cannot write {directory}: {error}") from error
    return True


def _stamp(directory: Path) -> str | None:
    try:
        return (directory / STAMP).read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Let one process at a time build; the kernel drops the lock of one that dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(directory: Path, held_out_per_class: int, progress: Progress) -> None:
    (directory / "images").mkdir(parents=True)
    network, weights = make_network(TRAINING_PER_CLASS, progress)
    progress("writing the xclbin, the weights and the held-out pictures")
    write_xclbin(directory / "card.xclbin", network, kernel="logits")
    (directory / "net.npz").write_bytes(network.to_bytes())
    save_fc_weights(directory / "fcweights.csv", weights)
    unused = [f"(unused {i})" for i in range(len(CLASS_NAMES), CLASSES)]
    (directory / "labels.txt").write_text("".join(f"{name}\n" for name in (*CLASS_NAMES, *unused)))
    lines = []
    for class_id, name in enumerate(CLASS_NAMES):
        for number in range(held_out_per_class):
            file = f"{name.replace(' ', '_')}_{number + 1:02}.JPEG"
            (directory / "images" / file).write_bytes(encode(name, "held out", number))
            lines.append(f"{file} {class_id}\n")
    (directory / "images" / "labels.txt").write_text("".join(lines))
    (directory / "README.txt").write_text(README.format(count=len(CLASS_NAMES)))


def make_network(training_per_class: int, progress: Progress) -> tuple[Network, NDArray[np.int8]]:
    """Calibrate the network and fit its head, on calibration and training pictures only.

    Args:
        training_per_class: how many pictures of each class the head is fitted to.
        progress: called with a line of text for each part of the work.

    Returns:
        The network, and its FC weights int8 (1000, 2048).
    """
    progress("calibrating the thresholds, layer by layer")
    network = calibrated_network(SEED, draw_pixels("calibration", 1)[0])
    engine = open_engine(network)
    progress(f"drawing {training_per_class * len(CLASS_NAMES)} training pictures")
    pixels, classes = draw_pixels("training", training_per_class)
    features = np.empty((len(pixels), FEATURES), np.uint16)
    step = max(1, len(pixels) // 4)
    for start in range(0, len(pixels), step):
        progress(f"computing features on the engine '{engine.name}': {start} of {len(pixels)} done")
        features[start : start + step] = engine.features(pixels[start : start + step])
    weights, biases = fit_head(features, classes)
    return Network.check({**network.arrays, "fc.bias": biases}), weights


def draw_pixels(split: Split, per_class: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures of every class, through JPEG as a client's are: uint8 (N, 224, 224, 3) BGR, and their class ids (N,)."""
    files = [encode(name, split, number) for name in CLASS_NAMES for number in range(per_class)]
    return np.stack([decode_image(file) for file in files]), np.repeat(np.arange(len(CLASS_NAMES)), per_class)
