"""Runs beside the bench's server: JPEGs to `classify`, pixels to `resnet50`, the answers into an .npz.

python triton_program.py GRPC_ADDRESS OUT.npz JPEG...
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc

sys.path.append(str(Path(__file__).resolve().parent.parent))
from helpers import random_pixels


def main() -> None:
    address, output, *paths = sys.argv[1:]
    jpegs = np.array([[Path(path).read_bytes()] for path in paths], object)
    pixels = random_pixels(3, 3)
    images = tritonclient.grpc.InferInput("IMAGE", jpegs.shape, "BYTES")
    images.set_data_from_numpy(jpegs)
    raw = tritonclient.grpc.InferInput("PIXELS", pixels.shape, "UINT8")
    raw.set_data_from_numpy(pixels)
    with tritonclient.grpc.InferenceServerClient(address) as client:
        classified = client.infer("classify", [images]).as_numpy("LOGITS")
        logits = client.infer("resnet50", [raw]).as_numpy("LOGITS")
    np.savez(output, classified=classified, logits=logits)


if __name__ == "__main__":
    main()
