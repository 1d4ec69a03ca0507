"""The cards: PYNQ devices, chosen by name.

"software:0" computes the network on the CPU, "xrt:0" is an Alveo. Nothing here falls back from one to the other. Each
kind is a module with `open_device(index, threads)`, imported when it is first named; a new kind is a line in `KINDS`.
"""

from __future__ import annotations

import difflib
import importlib
import re
from typing import Any

from ..errors import BadParameter, CardNotFound

KINDS = {
    "software": ".software",
    "xrt": ".xrt",
}

_NAME = re.compile(r"([A-Za-z_]+):([0-9]{1,6})")


def open_card(name: str, threads: int | None = None) -> Any:
    """Find a card by name.

    Args:
        name: "KIND:INDEX", as "software:0" or "xrt:1".
        threads: CPU threads of a software card, 0 for one per CPU; None leaves the card as it is. An Alveo has none.

    Returns:
        The `pynq.pl_server.device.Device`; not yet programmed by this call.

    Raises:
        BadParameter: the name is malformed or of no known kind.
        CardNotFound: this machine has no such card.
    """
    match = _NAME.fullmatch(name)
    if not match:
        raise BadParameter(f"card '{name}': {_suggest(name)} (a card is named KIND:INDEX, as software:0 or xrt:0)")
    kind, index = match[1], int(match[2])
    if kind not in KINDS:
        raise BadParameter(f"card '{name}': no such kind of card; {_suggest(name)} (kinds: {', '.join(KINDS)})")
    try:
        module = importlib.import_module(KINDS[kind], __package__)
    except OSError as error:  # pynq loads XRT's library as soon as XILINX_XRT is set
        raise CardNotFound(
            f"card '{name}': pynq cannot load XRT ({error}); correct XILINX_XRT, or unset it to use a software card"
        ) from error
    return module.open_device(index, threads)


def _suggest(name: str) -> str:
    kind, _, index = name.partition(":")
    near = difflib.get_close_matches(kind.lower(), KINDS, n=1, cutoff=0.5)
    return f"did you mean '{near[0] if near else 'software'}:{index if index.isdecimal() else 0}'?"
