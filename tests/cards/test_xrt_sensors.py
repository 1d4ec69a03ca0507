"""What XRT's native API reports of the power rails, as PYNQ reads it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from pynq.pmbus import get_xrt_sysfs_rails
from resnet50_triton.cards.xrt_sensors import power_rails


def rail(name: str, volts: str, amps: str) -> dict[str, object]:
    """As XRT's sensor.cpp writes it: numbers are strings."""
    return {
        "id": name,
        "description": "a rail",
        "voltage": {"volts": volts, "is_present": "true"},
        "current": {"amps": amps, "is_present": "true"},
    }


def test_the_rails_are_those_of_pynq() -> None:
    rails = [rail("12v_aux", "12.214", "1.865"), rail("12v_pex", "12.156", "1.904"), rail("vccint", "0.851", "12.500")]
    report = json.dumps({"power_rails": [*rails, rail("unheard_of", "1.0", "1.0")], "power_consumption_watts": "45.9"})
    found = get_xrt_sysfs_rails(SimpleNamespace(device_info=power_rails(report)))
    assert found["12v_aux"].power.value == pytest.approx(12.214 * 1.865)
    assert found["12v_pex"].power.value == pytest.approx(12.156 * 1.904)
    assert found["vccint"].power.value == pytest.approx(0.851 * 12.5)
    assert found["0v85"].voltage.value == 0


@pytest.mark.parametrize("report", ["", "{}", '{"power_rails": ""}'])
def test_no_sensors_read_0(report: str) -> None:
    assert not any(vars(power_rails(report)).values())
