"""System shared memory that a server on this machine reads images from."""

from __future__ import annotations

import mmap
import os
import struct
import sys
import uuid
from pathlib import Path

from resnet50_client.errors import DatasetError

FOLDER = Path("/dev/shm")
SLOT_BYTES = 512 << 10  # for one image: PIXELS need 150,528, and a larger file is sent in its request


class SharedMemory:
    """A block of memory with a slot for each image in flight.

    Its name is removed as soon as the server has opened it (`forget_name`), so that nothing is left in /dev/shm,
    however this process ends.
    """

    def __init__(self, slots: int) -> None:
        """Create it.

        Args:
            slots: images in flight at once.

        Raises:
            DatasetError: /dev/shm is missing, full or closed to us.
        """
        self.name = f"resnet50-client-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.key = f"/{self.name}"
        self.size_bytes = slots * SLOT_BYTES
        try:
            descriptor = os.open(FOLDER / self.name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            try:
                if sys.platform == "linux":  # elsewhere there is no such folder
                    os.posix_fallocate(descriptor, 0, self.size_bytes)  # fails here if full, not at first use: SIGBUS
                self._memory = mmap.mmap(descriptor, self.size_bytes)
            finally:
                os.close(descriptor)
        except OSError as error:
            self.forget_name()
            raise DatasetError(f"cannot make shared memory in {FOLDER}: {error} (leave out --shm)") from error

    def offset(self, slot: int) -> int:
        """Where a slot begins, in bytes."""
        return slot * SLOT_BYTES

    def put(self, slot: int, data: bytes, *, is_string: bool) -> int:
        """Copy one image into a slot.

        Args:
            slot: which.
            data: the bytes of the tensor's only element or array.
            is_string: a BYTES tensor, whose elements each follow their length.

        Returns:
            Bytes used; 0 if the image does not fit.
        """
        head = struct.pack("<I", len(data)) if is_string else b""
        size = len(head) + len(data)
        if size > SLOT_BYTES:
            return 0
        start = self.offset(slot)
        self._memory[start : start + size] = head + data
        return size

    def forget_name(self) -> None:
        """Take the name out of /dev/shm; who has opened the memory keeps it."""
        (FOLDER / self.name).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the memory."""
        self.forget_name()
        self._memory.close()
