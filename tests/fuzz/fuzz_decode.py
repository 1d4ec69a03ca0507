"""Any bytes give pixels or BadImage, nothing else, in bounded memory and time.

    python tests/fuzz/fuzz_decode.py --inputs 100000

Real files of every kind are cut, overwritten, spliced and padded. Input i of seed s is always the same, so a finding is
repeated with --seed s --first i --inputs 1. The inputs run in a child process: a crash in a C library is a finding too.
"""

from __future__ import annotations

import argparse
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from corpus import images, others
from resnet50_triton.decode import DecodeOptions, decode_image
from resnet50_triton.errors import BadImage

MAX_PIXELS = 1_000_000
MEMORY_LIMIT_BYTES = 100 << 20  # over what the process had before the first input; 1 million pixels take about 25 MB
TIME_LIMIT_S = 20.0  # of one input, on a busy machine
OPTIONS = [
    DecodeOptions(max_pixels=MAX_PIXELS),
    DecodeOptions(max_pixels=MAX_PIXELS, accept_truncated=True),
    DecodeOptions(max_pixels=MAX_PIXELS, accept_truncated=True, scaled_decode=True),
    DecodeOptions(mode="center_crop", max_pixels=MAX_PIXELS, accept_truncated=True),
]
# What breaks parsers: sizes at the limits of their types, markers of other segments.
TOKENS = [struct.pack(f, v) for f in (">I", "<I") for v in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)]
TOKENS += [b"\xff" + bytes([marker]) for marker in (0xC0, 0xC2, 0xC4, 0xD0, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xE1, 0xEE)]
TOKENS += [b"\x00\x00", b"\xff\xff", b"IDAT", b"PLTE", b"tRNS", b"eXIf", b"fcTL", b"VP8X", b"VP8L", b"Exif\x00\x00"]


def mutated(seeds: list[bytes], seed: int, index: int) -> bytes:
    """Input `index`: a real file with one to eight things wrong."""
    random = np.random.default_rng((seed, index))
    data = bytearray(seeds[random.integers(len(seeds))])
    for _ in range(random.integers(1, 9)):
        if not data:
            break
        # Half of all changes in the first bytes: headers decide most.
        end = len(data) if random.random() < 0.5 else min(len(data), 64)
        at = int(random.integers(end))
        match random.integers(7):
            case 0:
                data[at] ^= 1 << int(random.integers(8))
            case 1:
                data[at] = int(random.integers(256))
            case 2:
                token = TOKENS[random.integers(len(TOKENS))]
                data[at : at + len(token)] = token
            case 3:
                del data[at : at + int(random.integers(1, 64))]
            case 4:
                data[at:at] = random.bytes(int(random.integers(1, 64)))
            case 5:
                other = seeds[random.integers(len(seeds))]
                start = int(random.integers(len(other)))
                data[at:] = other[start : start + int(random.integers(1, 4096))]
            case _:
                del data[int(random.integers(len(data))) :]
    return bytes(data)


def check(data: bytes, options: DecodeOptions) -> bool:
    """Decode; True where there are pixels, False where BadImage was raised. Anything else is raised on."""
    out = np.zeros((224, 224, 3), np.uint8)
    try:
        pixels = decode_image(data, out, options)
    except BadImage as error:
        if not str(error) or len(str(error)) > 1000:
            raise ValueError(f"the message has {len(str(error))} characters") from error
        return False
    if pixels is not out:
        raise ValueError("the pixels are not where they were asked for")
    return True


def run(seed: int, first: int, count: int, progress: Path) -> None:
    """The child: all inputs, the number of the present one always in `progress`."""
    seeds = [*images().values(), *others().values()]
    for data in seeds:
        for options in OPTIONS:
            check(data, options)
    base_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decoded = 0
    with progress.open("r+b", buffering=0) as note:
        for index in range(first, first + count):
            note.seek(0)
            note.write(b"%20d" % index)
            start = time.monotonic()
            decoded += check(mutated(seeds, seed, index), OPTIONS[index % len(OPTIONS)])
            if time.monotonic() - start > TIME_LIMIT_S:
                raise ValueError(f"took {time.monotonic() - start:.1f} s")
    grown_bytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base_kib) * 1024
    print(
        f"{count} inputs: {decoded} gave pixels, {count - decoded} BadImage, {grown_bytes / 2**20:.0f} MiB more memory"
    )
    if grown_bytes > MEMORY_LIMIT_BYTES:
        raise ValueError(f"memory grew by {grown_bytes} bytes, the limit is {MEMORY_LIMIT_BYTES}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        run(args.seed, args.first, args.inputs, args.child)
        return
    with tempfile.NamedTemporaryFile() as progress:
        progress.write(b" " * 20)
        progress.flush()
        code = subprocess.call([sys.executable, "-X", "faulthandler", *sys.argv, "--child", progress.name])
        at = Path(progress.name).read_text().strip()
    if code:
        sys.exit(f"found at input {at} (ended with {code}): repeat with --seed {args.seed} --first {at} --inputs 1")


if __name__ == "__main__":
    main()
