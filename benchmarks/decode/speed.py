"""Images per second and core of our decoding against what a user would write with Pillow or OpenCV, and against DALI.

    python benchmarks/decode/speed.py --dali build/bench-decode-venv

All take the same bytes and give 224x224 pixels, in interleaved rounds, so that a busy machine is unfair to all alike.
Measured is processor time, all threads counted: images per second of a core, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import photos
import PIL
import simplejpeg
from PIL import Image
from resnet50_triton.decode import DecodeOptions, DecodePool, decode_image

OUT = np.empty((224, 224, 3), np.uint8)


def ours(data: bytes) -> None:
    decode_image(data, OUT)


def pillow(data: bytes) -> None:
    image = Image.open(io.BytesIO(data)).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    OUT[:] = np.asarray(image)[:, :, ::-1]


def opencv(data: bytes) -> None:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    OUT[:] = cv2.resize(image, (224, 224), interpolation=cv2.INTER_LINEAR)


def simplejpeg_alone(data: bytes) -> None:
    """No resize: the floor below everything that uses libjpeg-turbo."""
    simplejpeg.decode_jpeg(data, "BGR")


class OneByOne:
    """A function called for each file, on one thread."""

    def __init__(self, function: Callable[[bytes], None], files: list[bytes]) -> None:
        self.function, self.files = function, files

    def round(self) -> float:
        """Processor seconds for all files."""
        start = time.process_time()
        for data in self.files:
            self.function(data)
        return time.process_time() - start


class Pool:
    """Our pool, all files in one request, as `preprocess` uses it."""

    def __init__(self, files: list[bytes], workers: int) -> None:
        self.files, self.pool = files, DecodePool(workers, DecodeOptions())

    def round(self) -> float:
        start = time.process_time()
        self.pool.submit(self.files).result(600)
        return time.process_time() - start


class Dali:
    """DALI's CPU decoder and resize in a venv of its own, told over a pipe when its round begins."""

    def __init__(self, venv: Path, folder: Path, threads: int) -> None:
        python = venv / "bin" / "python"
        if not python.exists():
            print(f"installing DALI into {venv} ...", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([python, "-m", "pip", "install", "-q", "nvidia-dali-cuda120"], check=True)
        worker = Path(__file__).with_name("dali_worker.py")
        self.process = subprocess.Popen(
            [python, worker, folder, str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.version = self._answer()

    def _answer(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("DALI's process ended; its error is above")
        return line.strip()

    def round(self) -> float:
        assert self.process.stdin
        self.process.stdin.write("round\n")
        self.process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    photos.add_argument(parser)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--workers", type=int, default=2, help="of our pool and of DALI (default: 2)")
    parser.add_argument("--dali", type=Path, metavar="VENV", help="measure DALI too; made where it does not exist")
    parser.add_argument("-o", "--output", type=Path, default=photos.ROOT / "build" / "bench-decode.json")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    files = photos.read(args.photos)
    competitors: dict[str, OneByOne | Pool | Dali] = {
        "preprocess (decode_image)": OneByOne(ours, files),
        f"preprocess (pool of {args.workers})": Pool(files, args.workers),
        "Pillow: open, convert, resize": OneByOne(pillow, files),
        "OpenCV: imdecode, resize": OneByOne(opencv, files),
        "libjpeg-turbo alone, no resize": OneByOne(simplejpeg_alone, files),
    }
    versions = {
        "python": platform.python_version(),
        "simplejpeg": simplejpeg.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }
    if args.dali:
        dali = Dali(args.dali, args.photos, args.workers)
        competitors[f"DALI: decoders.image, resize ({args.workers} threads)"] = dali
        versions["dali"] = dali.version
    times: dict[str, list[float]] = {name: [] for name in competitors}
    for number in range(args.rounds + 1):
        for name, competitor in competitors.items():
            elapsed = competitor.round()
            if number:  # the first warms caches up
                times[name].append(elapsed / len(files))
    if args.dali:
        dali.close()
    first = next(iter(times))
    rows = [
        {
            "name": name,
            "images_per_core_second": 1 / statistics.median(series),
            "ms_per_image": 1000 * statistics.median(series),
            "ratio_to_ours": statistics.median(a / b for a, b in zip(series, times[first], strict=True)),
        }
        for name, series in times.items()
    ]
    print(
        f"{len(files)} photos, {sum(map(len, files)) / len(files) / 1000:.0f} kB each, {args.rounds} interleaved rounds"
    )
    print(f"{'':46}{'images/s/core':>14}{'ms/image':>10}{'times ours':>12}")
    for row in rows:
        print(
            f"{row['name']:46}{row['images_per_core_second']:14.0f}{row['ms_per_image']:10.3f}{row['ratio_to_ours']:12.2f}"
        )
    args.output.parent.mkdir(exist_ok=True)
    args.output.write_text(json.dumps({"versions": versions, "photos": len(files), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
