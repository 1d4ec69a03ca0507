"""The original project's application: classifies images without Triton and reports accuracy, rate and times."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ..class_names import read_class_names
from ..errors import BadParameter
from ..files import write_atomically
from ..xclbin.kernel_info import read_xclbin
from .default_card import default_card
from .images import find_images
from .opened import open_instance
from .pipeline import classify
from .report import Accuracy, read_labels, table, table_as_text, times_as_text


def infer(
    xclbin: Path,
    fcweights: Path,
    img_path: Path,
    max_bs: int = 1,
    preprocess_workers: int = 1,
    profile: bool = False,
    outfile: Path | None = None,
    labels: Path | None = None,
    names: Path | None = None,
    card: str | None = None,
) -> int:
    """Classify an image or the files of a folder and print what the original printed.

    Args:
        xclbin: the xclbin.
        fcweights: the FC weights.
        img_path: an image, or a folder of images.
        max_bs: the largest batch size.
        preprocess_workers: threads that read and decode.
        profile: also give the times of each image.
        outfile: CSV to write the results to, instead of printing them.
        labels: the true classes, `<filename> <class id>` a line: then the accuracy is printed.
        names: the classes' names, for `read_class_names`: then the best class's is in a column of its own.
        card: instead of the one that the xclbin is for; several are separated by commas.

    Returns:
        How many images were classified; the others are reported on standard error.

    Raises:
        Resnet50Error: files or card are not usable, or the card failed.
    """
    truth = None if labels is None else read_labels(labels)
    if outfile is not None and not outfile.parent.is_dir():
        raise BadParameter(f"--outfile {outfile}: there is no folder {outfile.parent}; make it first")
    class_names = None if names is None else read_class_names(names)
    paths = find_images(img_path, [path for path in (labels, names, outfile) if path is not None])
    chosen = default_card(read_xclbin(xclbin), card)
    if truth is not None and chosen.startswith("timing:"):
        raise BadParameter(f"--labels: card '{chosen}' computes nothing, so its answers have no accuracy; leave it out")
    with open_instance("infer", xclbin, fcweights, chosen, max_bs) as instance:
        print(f"Card: {instance.description}", flush=True)
        begin_s = time.monotonic()
        outcomes = classify(instance, paths, preprocess_workers, max_bs)
        elapsed_s = time.monotonic() - begin_s

    for outcome in outcomes:
        if outcome.error:
            print(f"resnet50-pynq: {outcome.path}: {outcome.error}", file=sys.stderr)
    results = table(outcomes, profile, class_names)
    if outfile is None:
        print(table_as_text(results))
    else:
        write_atomically(outfile, results.to_csv().encode())
    if profile:
        print(times_as_text(results))
    if truth is not None:
        print(Accuracy.of(outcomes, truth))
    classified = sum(not outcome.error for outcome in outcomes)
    print(f"Duration for {classified} images: {elapsed_s}")
    print(f"FPS: {classified / elapsed_s}")
    if classified < len(outcomes):
        print(f"resnet50-pynq: {len(outcomes) - classified} of {len(outcomes)} files failed", file=sys.stderr)
    return classified
