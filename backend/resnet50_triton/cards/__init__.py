"""The cards: PYNQ devices, chosen by name.

"software:0" computes the network on the CPU, "xrt:0" is an Alveo, "timing:0" only takes an Alveo's time, "faulty:0"
is a software card that fails on purpose. Nothing here falls back from one to the other. Each kind is a module with
`open_device(index, threads)`, `reset_device(device)` and `count_devices()`, imported when it is first named; a new
kind is a line in `KINDS`.
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
    "timing": ".timing",
    "faulty": ".faulty",
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
    module, index = _find(name)
    return module.open_device(index, threads)


def reset_card(name: str, device: Any) -> None:
    """Bring a card that failed back to its state before it was programmed; its buffers and runs are void.

    Args:
        name: as for `open_card`.
        device: what `open_card` returned.

    Raises:
        CardError, RuntimeError, OSError: the card does not come back.
    """
    _find(name)[0].reset_device(device)


def card_names(spec: str) -> list[str]:
    """The cards that a list names: "software:0,software:1", or "xrt:*" for every Alveo of this machine.

    Raises:
        BadParameter: a malformed or repeated name.
        CardNotFound: "KIND:*" where there is none.
    """
    names: list[str] = []
    for name in (part.strip() for part in spec.split(",")):
        if name.endswith(":*"):
            module, _ = _find(f"{name[:-1]}0")
            found = [f"{name[:-1]}{index}" for index in range(module.count_devices())]
            if not found:
                raise CardNotFound(f"card '{name}': this machine has none")
            names += found
        else:
            _find(name)
            names.append(name)
    for name in names:
        if names.count(name) > 1:
            raise BadParameter(f"card '{spec}': names {name} more than once")
    return names


def kind_of(name: str) -> str:
    """The kind of the card with this name, whether this machine has one or not: "xrt" of "xrt:0" or "xrt:*".

    Raises:
        BadParameter: the name is malformed or of no known kind.
    """
    match = _NAME.fullmatch(f"{name[:-1]}0" if name.endswith(":*") else name)
    if not match:
        raise BadParameter(f"card '{name}': {_suggest(name)} (a card is named KIND:INDEX, as software:0 or xrt:0)")
    if match[1] not in KINDS:
        raise BadParameter(f"card '{name}': no such kind of card; {_suggest(name)} (kinds: {', '.join(KINDS)})")
    return match[1]


def _find(name: str) -> tuple[Any, int]:
    """The module and the index that a name stands for."""
    module, index = KINDS[kind_of(name)], int(name.partition(":")[2])
    try:
        return importlib.import_module(module, __package__), index
    except OSError as error:  # pynq loads XRT's library as soon as XILINX_XRT is set
        raise CardNotFound(
            f"card '{name}': pynq cannot load XRT ({error}); correct XILINX_XRT, or unset it to use a software card"
        ) from error


def _suggest(name: str) -> str:
    kind, _, index = name.partition(":")
    near = difflib.get_close_matches(kind.lower(), KINDS, n=1, cutoff=0.5)
    return f"did you mean '{near[0] if near else 'software'}:{index if index.isdecimal() else 0}'?"
