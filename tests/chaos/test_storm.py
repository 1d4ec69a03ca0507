"""Twenty seconds of the storm; `make storm` is ten minutes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos.storm import storm

pytestmark = pytest.mark.server


def test_hostile_senders_cost_good_clients_nothing(sample: Path) -> None:
    result = storm(sample, seconds=20, seed=1)
    assert result["faults"] == []
    assert len(result["hostile"]) == 8
    assert all(result["hostile"].values())
