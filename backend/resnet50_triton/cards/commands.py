"""The runs of an emulated card's kernel: queued first in, first out, as XRT's embedded scheduler (ERT) does."""

from __future__ import annotations

import asyncio
import math
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from ..errors import CardError, Resnet50Error
from ..network.engine import NativeEngine
from .call import KernelCall

_COUNT_BIT, _COUNT_MASK = 12, 0x7FF  # in the header of ert.h's packets: how many words follow it
_PAYLOAD_OFFSET = 8  # header and CU mask, one word each
_WAIT_S = 0.5  # how long one wait in native code may last: Ctrl-C is seen between two
_RESET = "the card was reset before this run"


class ExecBuffer:
    """The command packet that PYNQ fills in for a run."""

    def __init__(self, size_bytes: int) -> None:
        self._memory = bytearray(size_bytes)

    def as_packet(self, packet_type: Any) -> Any:
        """The packet as a ctypes structure that shares its memory."""
        return packet_type.from_buffer(self._memory)

    def registers(self) -> bytes:
        """The kernel's register file as the packet carries it."""
        words = (int.from_bytes(self._memory[:4], "little") >> _COUNT_BIT & _COUNT_MASK) - 1  # without the CU mask
        return bytes(self._memory[_PAYLOAD_OFFSET : _PAYLOAD_OFFSET + 4 * words])


class RunHandle:
    """One run, with the interface of PYNQ's ErtWaitHandle; it blocks where that one polls."""

    def __init__(self, commands: CommandQueue, sequence: int) -> None:
        self._commands = commands
        self._sequence = sequence
        self._bo = None  # what `waitfor=` would collect
        self._has_bo = False
        self.error: Exception | None = None

    @property
    def done(self) -> bool:
        """Whether the kernel has finished; asking counts as having seen it."""
        return self._commands.see(self._sequence, 0)

    def wait_done(self, timeout_s: float | None) -> bool:
        """Block until the kernel has finished, the GIL released.

        Args:
            timeout_s: how long at most; None for as long as it takes.

        Returns:
            False where the time ran out.

        Raises:
            CardError: the run failed.
        """
        if not self._commands.see(self._sequence, timeout_s):
            return False
        if self.error is not None:
            raise self.error
        return True

    def wait(self) -> None:
        """Block until the kernel has finished. Raises CardError where it failed."""
        self.wait_done(None)

    async def wait_async(self) -> None:
        """Wait without blocking the event loop."""
        await asyncio.to_thread(self.wait)


class CommandQueue:
    """Runs in the order of their coming, and the buffers that they use; a subclass says what becomes of them.

    A buffer is in use from the run that names it until the host has *seen* that run, or a later one, done: reading
    a result before is a mistake even if the card happens to have finished, and is then found every time.
    """

    def __init__(self, card: str) -> None:
        self._card = card
        self._changed = threading.Condition()
        self._submitted = self._finished = self._seen = 0  # sequence numbers; the queue keeps them in order
        self._last_use: dict[int, int] = {}  # BO -> the last run that names it

    @property
    def idle(self) -> bool:
        """Whether every run has finished."""
        with self._changed:
            self._note_finished()
            return self._finished == self._submitted

    @property
    def events(self) -> Any:
        """Where a thread can wait for the end of a run that it does not know yet; None where it cannot."""
        return None

    def start(self, call: KernelCall) -> RunHandle:
        """Queue a call."""
        with self._changed:
            self._submitted += 1
            handle = RunHandle(self, self._submitted)
            self._last_use.update(dict.fromkeys(call.buffers, self._submitted))
            self._put(call, handle)
        return handle

    def _put(self, call: KernelCall, handle: RunHandle) -> None:
        raise NotImplementedError

    def _note_finished(self) -> None:
        """Count what has finished, where nobody else does. Called with `_changed` held."""

    def see(self, sequence: int, timeout_s: float | None) -> bool:
        """Wait until a run has finished, and note that the host has seen it. False where the time ran out."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._finished >= sequence, timeout_s):
                return False
            self._seen = max(self._seen, sequence)
            return True

    def uses(self, bo: int) -> bool:
        """Whether a run that names this buffer is not yet seen done."""
        return self._last_use.get(bo, 0) > self._seen

    def release(self, bo: int) -> bool:
        """Forget a buffer that is to be freed; False where a run that names it has not finished."""
        with self._changed:
            self._note_finished()
            if self._last_use.get(bo, 0) > self._finished:
                return False
            self._last_use.pop(bo, None)
            return True

    def stop(self, timeout_s: float) -> None:
        """End after the runs that are queued, or leave them behind where they take longer."""
        raise NotImplementedError

    def abandon(self) -> None:
        """End; the runs that have not begun fail."""
        raise NotImplementedError

    def _reset_error(self) -> CardError:
        return CardError(f"{self._card}: {_RESET}")


class ComputingQueue(CommandQueue):
    """Runs the calls one after the other in a thread of its own."""

    def __init__(self, card: str, execute: Callable[[KernelCall], None]) -> None:
        super().__init__(card)
        self._execute = execute
        self._queue: queue.SimpleQueue[tuple[KernelCall, RunHandle] | None] = queue.SimpleQueue()
        self._abandoned = False
        self._worker = threading.Thread(target=self._work, name=card, daemon=True)
        self._worker.start()

    def _put(self, call: KernelCall, handle: RunHandle) -> None:
        self._queue.put((call, handle))

    def stop(self, timeout_s: float) -> None:
        """End the thread after the calls that are queued, or leave it behind where they take longer."""
        self._queue.put(None)
        self._worker.join(timeout_s)

    def abandon(self) -> None:
        """End the thread after the call that it computes now; those behind it fail."""
        self._abandoned = True
        self._queue.put(None)

    def _work(self) -> None:
        while (command := self._queue.get()) is not None:
            call, handle = command
            try:
                if self._abandoned:
                    raise self._reset_error()
                self._execute(call)
            except Resnet50Error as error:
                handle.error = error
            except Exception as error:
                handle.error = CardError(f"{self._card}: the kernel failed: {type(error).__name__}: {error}")
                handle.error.__cause__ = error
            del call, command  # the queue may be idle for long; do not keep freed memory alive
            with self._changed:
                self._finished += 1
                self._changed.notify_all()
            del handle


class EngineQueue(CommandQueue):
    """Runs that the native engine computes on its own thread, whose start and end wait for no thread of Python's."""

    def __init__(self, card: str, engine: NativeEngine) -> None:
        super().__init__(card)
        self._runs = engine.runs()
        self._calls: dict[int, tuple[KernelCall, RunHandle]] = {}  # with the memory that the engine may yet write to

    def __del__(self) -> None:
        self._runs.close()  # while the memory is still there

    @property
    def events(self) -> Any:
        """The ends of the runs; see native/runs.h."""
        return self._runs

    def _put(self, call: KernelCall, handle: RunHandle) -> None:
        self._calls[self._runs.start(call.pixels, call.weights, call.out)] = call, handle

    def see(self, sequence: int, timeout_s: float | None) -> bool:
        """Wait until a run has finished, and note that the host has seen it. False where the time ran out."""
        limit_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while not self._runs.wait(sequence, max(0.0, min(limit_s - time.monotonic(), _WAIT_S))):
            if time.monotonic() >= limit_s:
                return False
        with self._changed:
            self._note_finished()
            self._seen = max(self._seen, sequence)
        return True

    def _note_finished(self) -> None:
        while self._finished < self._runs.finished:
            self._finished += 1
            _, handle = self._calls.pop(self._finished)
            why = self._runs.error(self._finished)
            if why:
                handle.error = CardError(f"{self._card}: {why}")

    def stop(self, timeout_s: float) -> None:
        """Wait for the runs that are queued, or leave them behind where they take longer."""
        self._runs.wait(self._submitted, timeout_s)

    def abandon(self) -> None:
        """Fail the runs that have not begun."""
        self._runs.cancel(_RESET)
