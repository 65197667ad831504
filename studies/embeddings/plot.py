"""Quality against the bytes of tables, one SVG a host."""

import itertools
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from points import Point, on_front
from study import Host

COLOURS = mpl.colormaps["tab20"].colors[::2] + mpl.colormaps["tab20"].colors[1::2]
MARKERS = "osD^v<>P*Xhp"
REFERENCES = ("full", "width")
"""Families drawn in black: what there is without any method."""


def write_plot(host: Host, points: list[Point], path: Path) -> None:
    # Without these two, the same figures would give another file every time.
    mpl.rcParams["svg.hashsalt"] = host.name
    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.add_subplot()
    _draw_front(axes, host, points)
    styles = zip(itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False)
    references = itertools.cycle("x+1234")
    for setting in dict.fromkeys(point.setting for point in points):
        of_it = sorted((p for p in points if p.setting == setting), key=lambda p: p.tables)
        if of_it[0].family in REFERENCES:
            _draw(axes, host, of_it, "black", next(references))
        else:
            _draw(axes, host, of_it, *next(styles))
    axes.set_xscale("log")
    axes.set_xlabel("bytes of the tables")
    axes.set_ylabel(f"{host.objectives[0]} on test")
    axes.set_title(host.name)
    axes.grid(visible=True, which="major", alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    figure.savefig(path, format="svg", metadata={"Date": None})


def _draw(axes: Axes, host: Host, points: list[Point], colour: object, marker: str) -> None:
    quality = host.objectives[0]
    axes.errorbar(
        [point.tables for point in points],
        [point.test[quality] for point in points],
        [point.spread for point in points],
        label=points[0].setting,
        color=colour,
        marker=marker,
        linewidth=1,
        markersize=5,
        capsize=2,
    )


def _draw_front(axes: Axes, host: Host, points: list[Point]) -> None:
    chosen = sorted(on_front(points, lambda p: p.tables), key=lambda p: p.tables)
    axes.plot(
        [point.tables for point in chosen],
        [point.test[host.objectives[0]] for point in chosen],
        label="front, chosen on validation",
        color="grey",
        alpha=0.3,
        linewidth=6,
        drawstyle="steps-post",
    )
