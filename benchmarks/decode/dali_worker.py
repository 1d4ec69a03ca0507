"""DALI's part of speed.py, run in a venv of its own: one line in, all photos decoded, their processor seconds out."""

import sys
import time
from pathlib import Path

import nvidia.dali
import photos
from nvidia.dali import fn, pipeline_def, types


def main() -> None:
    import numpy as np

    files = [np.frombuffer(data, np.uint8) for data in photos.read(Path(sys.argv[1]))]

    @pipeline_def(batch_size=len(files), num_threads=int(sys.argv[2]), device_id=None)
    def pipeline():
        encoded = fn.external_source(source=lambda: files, dtype=types.UINT8)
        images = fn.decoders.image(encoded, device="cpu", output_type=types.BGR)
        return fn.resize(images, resize_x=224, resize_y=224, interp_type=types.INTERP_LINEAR, antialias=False)

    pipe = pipeline(prefetch_queue_depth=1, exec_async=False, exec_pipelined=False)
    pipe.build()
    print(nvidia.dali.__version__, flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        pipe.run()
        print(time.process_time() - start, flush=True)


main()
