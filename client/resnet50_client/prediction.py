"""A server's answer about one image, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt

CARD_KINDS = {1: "software", 2: "timing", 3: "xrt", 4: "xrt", 5: "faulty"}  # as the server's parameter `card` has them
PROVENANCE = "PROVENANCE"  # the output
EMULATED = 4  # XRT's emulation, which has the name of an Alveo


@dataclass(frozen=True)
class Candidate:
    """One ranked class. `score` is the accelerator's integer accumulator (a logit, not a probability)."""

    class_id: int
    name: str | None = None
    score: int | None = None  # None where the xclbin answers ids only


@dataclass(frozen=True)
class Times:
    """When the client did what with one image, in nanoseconds of Unix time."""

    start_ns: int  # its turn has come: reading begins
    sent_ns: int  # read, with --pixels decoded, and handed over
    answered_ns: int
    slot: int  # which of the places in flight it had


@dataclass(frozen=True)
class Provenance:
    """Where and when an image was computed, from a server with `--provenance`. Nanoseconds of its Unix time."""

    card: str  # such as "software:0"
    batch_size: int
    received_ns: int  # at the card's model
    upload_start_ns: int
    upload_end_ns: int
    kernel_start_ns: int
    kernel_end_ns: int
    download_start_ns: int
    download_end_ns: int
    runs: int  # more than 1 where the batch was run again after a fault
    is_emulated: bool = False

    @classmethod
    def from_tensor(cls, values: Sequence[int]) -> tuple[Provenance, str]:
        """Read the output PROVENANCE.

        Args:
            values: int64 (13,): kind and index of the card, the two halves of the xclbin's UUID, the batch size, seven
                moments in nanoseconds, and runs.

        Returns:
            The provenance, and the xclbin's UUID in 32 hex digits.

        Raises:
            ValueError: another number of values.
        """
        kind, index, high, low, *others = map(int, values)
        if len(others) != len(fields(cls)) - 2:
            raise ValueError(f"PROVENANCE has {len(others) + 4} values where 13 are expected")
        uuid = f"{high & (1 << 64) - 1:016x}{low & (1 << 64) - 1:016x}"
        card = f"{CARD_KINDS.get(kind, f'kind {kind}')}:{index}"
        named = dict(zip([field.name for field in fields(cls)][1:-1], others, strict=True))
        return cls(card=card, is_emulated=kind == EMULATED, **named), uuid


@dataclass(frozen=True)
class Prediction:
    """The answer for one image: ranked classes, or the error that this image alone met."""

    source: str
    top: tuple[Candidate, ...] = ()  # best first; empty if `error` is set
    margin: int | None = None  # score of the best class minus that of the runner-up
    error: str | None = None
    latency_s: float = 0.0  # from sending the request to its answer, with retries
    server: str | None = None  # URL of the one that answered
    xclbin_uuid: str | None = None  # of the answer where the server reports it, or else of its configuration
    provenance: Provenance | None = None  # only from a server with `--provenance`
    times: Times | None = None
    is_server_fault: bool = False  # the error is the server's: the image may be asked for again
    logits: npt.NDArray[np.float32] | None = field(default=None, compare=False, repr=False)  # (1000,), if asked for

    @property
    def class_ids(self) -> tuple[int, ...]:
        """Ids of the ranked classes, best first."""
        return tuple(candidate.class_id for candidate in self.top)


def read_answer(
    source: str, answer: Mapping[str, npt.NDArray[np.generic]], top: int, names: Mapping[int, str]
) -> Prediction:
    """What an answer's tensors say.

    Args:
        source: the image's name.
        answer: LOGITS float32 (1000,), or TOP5 int32 (5,); and perhaps PROVENANCE int64 (13,).
        top: classes to rank.
        names: class names by id.

    Raises:
        ValueError: PROVENANCE has another number of values.
    """
    provenance, uuid = None, None
    if PROVENANCE in answer:
        provenance, uuid = Provenance.from_tensor(answer[PROVENANCE].ravel().tolist())
    if "TOP5" in answer:
        ranked = tuple(Candidate(int(i), names.get(int(i))) for i in answer["TOP5"].ravel()[:top].tolist())
        return Prediction(source, ranked, xclbin_uuid=uuid, provenance=provenance)
    ranked = rank_logits(np.asarray(answer["LOGITS"], np.float32), max(2, top), names)
    margin = (ranked[0].score or 0) - (ranked[1].score or 0)
    return Prediction(source, ranked[:top], margin, xclbin_uuid=uuid, provenance=provenance)


def rank_logits(logits: npt.NDArray[np.float32], count: int, names: Mapping[int, str]) -> tuple[Candidate, ...]:
    """Rank classes as the accelerator does: the higher score first, between equal scores the lower id.

    Args:
        logits: float32 (classes,), integers in floating point.
        count: how many classes to return.
        names: class names by id; ids without one get None.
    """
    order = np.argsort(-logits, kind="stable")[:count]
    return tuple(Candidate(int(i), names.get(int(i)), int(logits[i])) for i in order)
