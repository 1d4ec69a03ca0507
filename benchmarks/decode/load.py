"""Keeps `classify` busy with JPEGs: so many requests in flight, from a process of its own.

    python load.py URL FOLDER BATCH CONCURRENCY grpc|shm SECONDS

Prints one line of JSON a second-long warm-up after it began and SECONDS later: images answered, seconds, its own
processor seconds. With shm the JPEGs lie in system shared memory, and requests only point to them.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import photos
import tritonclient.grpc as triton
from tritonclient.utils import shared_memory

REQUESTS = 8  # different ones, sent over and over
WARM_UP_S = 1.0


class Load:
    def __init__(self, url: str, files: list[bytes], batch: int, concurrency: int, shared: bool) -> None:
        self.client = triton.InferenceServerClient(url)
        self.batch, self.free = batch, threading.Semaphore(concurrency)
        self.answered, self.errors = 0, []
        self.regions = []
        chosen = np.random.default_rng(0).integers(len(files), size=(REQUESTS, batch))
        self.requests = [self.request([files[i] for i in row], shared) for row in chosen]
        self.outputs = [triton.InferRequestedOutput("LOGITS")]

    def request(self, data: list[bytes], shared: bool) -> list:
        tensor = triton.InferInput("IMAGE", [len(data), 1], "BYTES")
        array = np.array(data, dtype=object).reshape(-1, 1)
        tensor.set_data_from_numpy(array)
        if shared:
            raw = np.frombuffer(tensor._get_content(), np.uint8)  # as on the wire: length, bytes, length, bytes, ...
            name = f"load_{os.getpid()}_{len(self.regions)}"
            region = shared_memory.create_shared_memory_region(name, f"/{name}", raw.nbytes)
            shared_memory.set_shared_memory_region(region, [raw])
            self.client.register_system_shared_memory(name, f"/{name}", raw.nbytes)
            self.regions.append((name, region))
            tensor.set_shared_memory(name, raw.nbytes)
        return [tensor]

    def run(self, seconds: float) -> int:
        """Send for so long; returns how many images were answered in that time."""
        before, end, turn = self.answered, time.monotonic() + seconds, 0
        while time.monotonic() < end:
            self.free.acquire()
            self.client.async_infer("classify", self.requests[turn % REQUESTS], self.done, outputs=self.outputs)
            turn += 1
        return self.answered - before

    def done(self, result, error) -> None:  # noqa: ARG002 - called by these names
        if error:
            self.errors.append(str(error))
        else:
            self.answered += self.batch
        self.free.release()

    def close(self, concurrency: int) -> None:
        for _ in range(concurrency):  # closing the client would cancel what is in flight
            self.free.acquire()
        for name, region in self.regions:
            self.client.unregister_system_shared_memory(name)
            shared_memory.destroy_shared_memory_region(region)
        self.client.close()


def main() -> None:
    url, folder, batch, concurrency, transport, seconds = sys.argv[1:]
    load = Load(url, photos.read(Path(folder)), int(batch), int(concurrency), transport == "shm")
    load.run(WARM_UP_S)
    print("measuring", flush=True)
    start, cpu = time.monotonic(), time.process_time()
    images = load.run(float(seconds))
    done = {"images": images, "seconds": time.monotonic() - start, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps(done), flush=True)
    load.close(int(concurrency))
    if load.errors:
        sys.exit(load.errors[0])


main()
