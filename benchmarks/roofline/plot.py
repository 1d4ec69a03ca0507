"""The roofline as a picture: ceilings as bars, what was reached as a line."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt

from benchmarks.roofline.advice import Chain, bottleneck

BAR, LIMIT, CORES, REACHED = "#9db4c8", "#d1495b", "#c9c9c9", "#1b4965"


def plot(chains: list[Chain], title: str, path: Path) -> Path:
    """Draw a panel for each chain.

    Args:
        chains: what to show, a pair a row.
        title: of the picture: machine and date.
        path: where to write it; the suffix says in which format.
    """
    rows = (len(chains) + 1) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(11, 0.5 + 2.3 * rows), sharex=True, squeeze=False)
    for axis, chain in zip(axes.flat, chains, strict=False):
        bars = [(stage.name, stage.images_per_s, BAR) for stage in chain.stages]
        limit = bottleneck(chain)
        bars = [(name, rate, LIMIT if name == limit else colour) for name, rate, colour in bars]
        bars.append((f"{chain.cores} cores, all of it", chain.cores_roof, CORES))
        names, rates, colours = zip(*reversed(bars), strict=True)
        axis.barh(names, rates, color=colours, height=0.65)
        for place, rate in enumerate(rates):
            axis.text(rate * 1.05, place, f"{rate:,.0f}", va="center", fontsize=8)
        axis.axvline(chain.achieved, color=REACHED, linewidth=2)
        axis.set_title(f"{chain.name}: reached {chain.achieved:,.0f}/s", fontsize=9, x=-0.28, loc="left", color=REACHED)
        axis.set_xscale("log")
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
    for axis in axes.flat[len(chains) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("images a second (logarithmic)")
    highest = max(stage.images_per_s for chain in chains for stage in chain.stages)
    lowest = min(chain.achieved for chain in chains)
    axes[0, 0].set_xlim(lowest / 2, 3 * highest)
    figure.suptitle(f"Ceilings (bars; red: the bottleneck) and what was reached (line)\n{title}", fontsize=10, y=0.99)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
