"""How far predictions agree between decoders and modes, on the trained network and its photos: a table in Markdown.

python benchmarks/decode/agreement.py [--shared ../shared]
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import photos
from PIL import Image
from resnet50_triton.decode import DecodeOptions, decode_image
from resnet50_triton.network.engine import open_engine
from resnet50_triton.network.parameters import Network
from resnet50_triton.ranking import top5 as top5
from resnet50_triton.weights import load_fc_weights

PREPARE: dict[str, Callable[[bytes], np.ndarray]] = {
    "`stretch` (default)": decode_image,
    "OpenCV: imdecode, resize": lambda data: cv2.resize(cv2.imdecode(np.frombuffer(data, np.uint8), 1), (224, 224)),
    "Pillow: open, resize (antialiased)": lambda data: np.asarray(
        Image.open(io.BytesIO(data)).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    )[:, :, ::-1],
    "`center_crop`": lambda data: decode_image(data, options=DecodeOptions(mode="center_crop")),
    "decoded at 1/2, then stretched": lambda data: cv2.resize(
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_COLOR_2), (224, 224)
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=photos.SHARED)
    args = parser.parse_args()
    lines = (args.shared / "photos" / "labels.txt").read_text().splitlines()
    names, classes = zip(*(line.rsplit(" ", 1) for line in lines), strict=True)
    files = [(args.shared / "photos" / name).read_bytes() for name in names]
    truth = np.array([int(value) for value in classes])
    engine = open_engine(Network.load(args.shared / "data" / "resnet50_w1a2_v1.npz"))
    weights = load_fc_weights(args.shared / "data" / "fcweights.csv")
    base_pixels = base_top = None
    print(f"| {len(files)} photos | right | same first class | same five classes | pixels equal | mean difference |")
    print("|---|---|---|---|---|---|")
    for name, prepare in PREPARE.items():
        pixels = np.stack([prepare(data) for data in files])
        top = top5(engine.logits(pixels, weights))
        if base_pixels is None:
            base_pixels, base_top = pixels, top
        first = (top[:, 0] == base_top[:, 0]).sum()
        five = sum(set(a) == set(b) for a, b in zip(top, base_top, strict=True))
        difference = np.abs(pixels.astype(int) - base_pixels).mean()
        equal = (pixels == base_pixels).mean()
        print(
            f"| {name} | {(top[:, 0] == truth).sum()} | {first} | {five} | {equal:.1%} | {difference:.2f} |", flush=True
        )


if __name__ == "__main__":
    main()
