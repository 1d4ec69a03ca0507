"""The power rails as XRT's native API reports them, for PYNQ's recorder."""

from __future__ import annotations

import json
from types import SimpleNamespace

# XRT's name of a rail: the fields of its voltage and its current in xclDeviceInfo2.
_RAILS = {
    "12v_aux": ("m12VAux", "mAuxCurr"),
    "12v_pex": ("m12VPex", "mPexCurr"),
    "vccint": ("mVccIntVol", "mCurrent"),
    "3v3_aux": ("m3v3Aux", ""),
    "3v3_pex": ("m3v3Pex", ""),
}
_NOT_READ = ("m0v85", "m12vSW", "m1v8Top", "mMgt0v9", "mMgtVtt", "mSys5v5")


def power_rails(electrical: str) -> SimpleNamespace:
    """The fields of XRT's xclDeviceInfo2 that `pynq.pmbus` reads, in mV and mA; 0 where XRT reports nothing.

    Args:
        electrical: the report of `xrt::info::device::electrical`, JSON with volts and amperes as strings.
    """
    values = dict.fromkeys((*(field for fields in _RAILS.values() for field in fields if field), *_NOT_READ), 0.0)
    for rail in json.loads(electrical or "{}").get("power_rails") or ():
        voltage, current = _RAILS.get(rail["id"], ("", ""))
        for field, kind, unit in ((voltage, "voltage", "volts"), (current, "current", "amps")):
            if field:
                values[field] = 1000 * float(rail.get(kind, {}).get(unit) or 0)
    return SimpleNamespace(**values)
