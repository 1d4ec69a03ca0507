"""A cable between two network interfaces that loses and delays frames: what netem does, on kernels that have none too.

Makes two TAP interfaces, whose names are its arguments, and passes frames between them both ways. Each line of its
input is its state from then on, LOSS_PERCENT DELAY_MS: with 100 the cable is unplugged. It ends with its input.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import selectors
import struct
import sys
import time
from collections import deque

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
LONGEST_FRAME_BYTES = 65536
MOST_FRAMES = 10000  # that are on their way; what is more is lost, as in a switch
AT_ONCE = 64  # frames of one interface before the other has its turn


def tap(name: str) -> int:
    """A new interface; frames are read from the descriptor and written to it."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return descriptor


def run(names: tuple[str, str], orders: int) -> None:
    """Pass frames until `orders`, a descriptor, ends."""
    one, other = map(tap, names)
    print("ready", flush=True)
    dice = random.Random(0)
    loss_percent, delay_s = 0.0, 0.0
    on_their_way: deque[tuple[float, int, bytes]] = deque()
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        selector.register(orders, selectors.EVENT_READ)
        while True:
            wait_s = max(0.0, on_their_way[0][0] - time.monotonic()) if on_their_way else None
            for key, _ in selector.select(wait_s):
                if key.data is None:
                    lines = os.read(orders, 4096).decode().split("\n")
                    if lines == [""]:
                        return
                    loss_percent, delay_ms = map(float, lines[-2].split())
                    delay_s = delay_ms / 1000
                    continue
                with contextlib.suppress(BlockingIOError):
                    for _ in range(AT_ONCE):
                        frame = os.read(key.fd, LONGEST_FRAME_BYTES)
                        if len(on_their_way) < MOST_FRAMES and dice.uniform(0, 100) >= loss_percent:
                            on_their_way.append((time.monotonic() + delay_s, key.data, frame))
            while on_their_way and on_their_way[0][0] <= time.monotonic():
                _, to, frame = on_their_way.popleft()
                with contextlib.suppress(OSError):  # its buffer is full, or the interface is down
                    os.write(to, frame)


if __name__ == "__main__":
    run((sys.argv[1], sys.argv[2]), sys.stdin.fileno())
