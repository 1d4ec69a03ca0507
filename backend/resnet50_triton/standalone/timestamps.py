"""The seven timestamps of an image, and the times between them."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass
class Timestamps:
    """Seconds of a monotonic clock. Images of one run share the times that are not their own."""

    start: float = 0.0  # a worker began with the file
    upload_start: float = 0.0  # the batch's first pixels were about to be copied to the buffer
    upload_end: float = 0.0  # the whole batch was in the card's memory
    inference_start: float = 0.0  # the card began with the run
    inference_end: float = 0.0  # the kernel was seen done
    download_start: float = 0.0  # the results were about to be copied from the card's memory
    download_end: float = 0.0  # the results were there

    def row(self) -> dict[str, float]:
        """The columns of the original's output file, the derived ones behind the seven."""
        row = dict(zip(COLUMNS, astuple(self), strict=True))
        return {**row, **{name: row[f"{end} TS"] - row[f"{begin} TS"] for name, (begin, end) in DERIVED.items()}}


COLUMNS = (
    "Start TS",
    "Upload Start TS",
    "Upload End TS",
    "Inference Start TS",
    "Inference End TS",
    "Download Start TS",
    "Download End TS",
)
DERIVED = {
    "Total Latency": ("Start", "Download End"),
    "Preprocessing Time": ("Start", "Upload Start"),
    "Upload Time": ("Upload Start", "Upload End"),
    "Accelerator Time": ("Inference Start", "Inference End"),
    "Download Time": ("Download Start", "Download End"),
    "Inference Time": ("Upload Start", "Download End"),
}
