"""Chooses the number of decoding threads, so that decoding and the card do not compete for the cores."""

from __future__ import annotations

from pathlib import Path

from ..network.engine import usable_cpus
from .config import changed_config, read_config

# A core decodes about 900 photos of 500x375 pixels a second and computes the network for 80 to 150: one decoder feeds
# four cores that compute, and larger pictures still.
CORES_OF_A_SOFTWARE_CARD_PER_DECODER = 4
COMPUTES_HERE = ("software:", "faulty:")
FEWEST = 2  # so that one slow picture does not stop all others


def decode_workers(card: str, cores: int) -> int:
    """The decoding threads that feed a card.

    Args:
        card: its name: one of COMPUTES_HERE computes on the same cores, any other leaves them to the decoders.
        cores: those that the server may use.
    """
    wanted = cores // CORES_OF_A_SOFTWARE_CARD_PER_DECODER if card.startswith(("software:", "faulty:")) else cores
    return max(FEWEST, wanted)


def size_decoding(repository: Path, card: str) -> None:
    """Set the workers of `preprocess` by the rule above, unless its configuration states a number."""
    path = repository / "preprocess" / "config.pbtxt"
    if not path.is_file():
        return  # a repository without it serves pixels alone
    if read_config(path).parameters["decode_workers"].string_value in ("", "0"):
        with changed_config(path) as config:
            config.parameters["decode_workers"].string_value = str(decode_workers(card, usable_cpus()))
