"""The subject of the checks, and their findings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OK, NOTE, WARNING, FAILED = "ok", "note", "warning", "failed"
DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Wanted:
    """The deployment to check; a part that is not named is checked in general."""

    xclbin: Path | None = None
    fcweights: Path | None = None
    card: str | None = None
    url: str | None = None  # of a server that ought to be up
    repository: Path | None = None  # a complete model repository

    @property
    def wants_alveo(self) -> bool:
        """Whether a real card, or XRT's emulation of one, is meant."""
        return self.card is not None and self.card.startswith("xrt:")


@dataclass(frozen=True)
class Finding:
    """One result: "note" says that something is not there and not needed, "warning" that it will do but not well."""

    check: str
    status: str
    found: str
    fix: str | None = None

    @classmethod
    def of_error(cls, check: str, error: Exception, fix: str | None = None) -> Finding:
        """An error as a finding: this package's messages say what was found, and after a ";" the next step."""
        found, _, step = str(error).partition("; ")
        return cls(check, FAILED, found, step or fix)
