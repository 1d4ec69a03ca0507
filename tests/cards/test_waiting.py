"""Waiting on PYNQ's own handles, as an Alveo's runs return them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pynq._3rdparty import ert
from pynq.overlay import WaitHandle
from pynq.pl_server.xrt_device import ErtWaitHandle
from resnet50_triton.errors import CardError
from resnet50_triton.runtime.waiting import wait_done


class Scheduler:
    """XrtDevice's event handling: a run ends in some state when the driver has been asked often enough."""

    tag = "xrt0"

    def __init__(self, rounds: int, state: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.handle = ErtWaitHandle(object(), self.loop.create_future(), self)
        self._rounds, self._state = rounds, state

    def _handle_events(self, timeout_ms: int) -> None:
        time.sleep(min(timeout_ms / 1000, 0.01))
        self._rounds -= 1
        if self._rounds == 0:
            self.handle._complete(self._state)


@pytest.fixture
def scheduler(request: pytest.FixtureRequest) -> Iterator[Scheduler]:
    scheduler = Scheduler(*request.param)
    yield scheduler
    scheduler.loop.close()


_COMPLETED, _ERROR = ert.ert_cmd_state.ERT_CMD_STATE_COMPLETED, ert.ert_cmd_state.ERT_CMD_STATE_ERROR


@pytest.mark.parametrize("timeout_s", [None, 60])
@pytest.mark.parametrize("scheduler", [(3, _COMPLETED)], indirect=True)
def test_a_start_that_completes(scheduler: Scheduler, timeout_s: float | None) -> None:
    assert wait_done(scheduler.handle, timeout_s)
    assert wait_done(scheduler.handle, 0)


@pytest.mark.parametrize("scheduler", [(1_000_000, _COMPLETED)], indirect=True)
def test_a_start_that_hangs(scheduler: Scheduler) -> None:
    start_s = time.monotonic()
    assert not wait_done(scheduler.handle, 0.05)
    assert time.monotonic() - start_s >= 0.05


@pytest.mark.parametrize("scheduler", [(1, _COMPLETED)], indirect=True)
def test_a_start_that_has_finished_unseen(scheduler: Scheduler) -> None:
    """A look without any time to wait still asks the driver."""
    assert not scheduler.handle.done
    assert wait_done(scheduler.handle, 0)


@pytest.mark.parametrize("scheduler", [(1, _ERROR)], indirect=True)
def test_a_start_that_has_failed_unseen(scheduler: Scheduler) -> None:
    with pytest.raises(CardError, match="xrt0: Execution failed: 5"):
        wait_done(scheduler.handle, 0)


@pytest.mark.parametrize("scheduler", [(2, _ERROR)], indirect=True)
def test_a_start_that_fails(scheduler: Scheduler) -> None:
    with pytest.raises(CardError, match="xrt0: Execution failed: 5"):
        wait_done(scheduler.handle, 60)


def test_the_register_path() -> None:
    polls: list[Any] = []

    def read(_: int) -> int:
        polls.append(1)
        return 4 if len(polls) == 3 else 1

    handle = WaitHandle(SimpleNamespace(mmio=SimpleNamespace(read=read)))
    assert wait_done(handle, 60)
    assert len(polls) == 3
    assert not wait_done(WaitHandle(SimpleNamespace(mmio=SimpleNamespace(read=lambda _: 1))), 0.01)
