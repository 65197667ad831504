"""Charts of quality against a cost; they need matplotlib, which the project does not."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

TWENTY = mpl.colormaps["tab20"]
COLOURS = [TWENTY(number) for number in (*range(0, 20, 2), *range(1, 20, 2))]


class Mark(NamedTuple):
    """A point of a chart; ``spread`` is the standard deviation of the quality."""

    cost: float
    quality: float
    spread: float = 0.0


@contextmanager
def chart(name: str, path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure that is written when it is drawn."""
    # Without these two, the same figures would give another file every time.
    mpl.rcParams["svg.hashsalt"] = name
    figure = Figure(figsize=(width, height), layout="constrained")
    yield figure
    figure.savefig(path, format="svg", metadata={"Date": None})


def draw(axes: Axes, marks: list[Mark], label: str, colour: object, marker: str) -> None:
    """Draws a line through marks, by cost."""
    costs, qualities, spreads = zip(*sorted(marks), strict=True)
    axes.errorbar(
        costs,
        qualities,
        spreads,
        label=label,
        color=colour,
        marker=marker,
        linewidth=1,
        markersize=5,
        capsize=2,
    )


def draw_front(axes: Axes, marks: list[Mark]) -> None:
    """Draws the steps of a front behind everything else."""
    costs, qualities, _ = zip(*sorted(marks), strict=True)
    axes.plot(
        costs,
        qualities,
        label="front, chosen on validation",
        color="grey",
        alpha=0.3,
        linewidth=6,
        drawstyle="steps-post",
    )


def dress(axes: Axes, cost: str) -> None:
    """Names the cost, on a logarithmic scale."""
    axes.set_xscale("log")
    axes.set_xlabel(cost)
    axes.grid(visible=True, which="major", alpha=0.3)
