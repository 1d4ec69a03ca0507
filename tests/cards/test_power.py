"""The power model against the published figures."""

from __future__ import annotations

import pytest
from resnet50_triton.cards.power import IMAGE_S, PUBLISHED, START_S, PowerModel


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def _busy(model: PowerModel, clock: Clock, batch: int, seconds: float) -> None:
    end_s = clock.now_s + seconds
    while clock.now_s < end_s:
        model.begin(batch)
        clock.now_s += START_S + IMAGE_S * batch
        model.end()


@pytest.mark.parametrize(("batch", "board_w", "fpga_w"), PUBLISHED)
def test_a_card_that_is_never_idle_draws_what_was_published(batch: int, board_w: float, fpga_w: float) -> None:
    clock = Clock()
    model = PowerModel(clock)
    _busy(model, clock, batch, 3)
    assert model.board_w() == pytest.approx(board_w, abs=3.9)  # what the module says
    assert model.fpga_w() == pytest.approx(fpga_w, abs=4.7)


def test_the_average_follows_the_load() -> None:
    clock = Clock()
    model = PowerModel(clock)
    idle_w = model.board_w()
    clock.now_s += 5
    assert model.board_w() == idle_w
    _busy(model, clock, 100, 1)
    full_w = model.board_w()
    clock.now_s += 0.5
    assert model.board_w() == pytest.approx((idle_w + full_w) / 2, rel=0.05)
    clock.now_s += 1
    assert model.board_w() == idle_w
    model.begin(100)
    clock.now_s += 10
    assert model.board_w() == pytest.approx(full_w, rel=0.01)  # a long start counts while it runs


def test_rails_add_up() -> None:
    model = PowerModel(Clock())
    info = model.device_info()
    assert (info.m12VAux * info.mAuxCurr + info.m12VPex * info.mPexCurr) / 1e6 == pytest.approx(model.board_w())
    assert info.mVccIntVol * info.mCurrent / 1e6 == pytest.approx(model.fpga_w())
