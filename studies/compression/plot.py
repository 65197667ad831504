"""Quality against bytes and against latency, one SVG a host."""

import itertools
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from points import Cost, Found, on_front
from study import Host, Study

COLOURS = mpl.colormaps["tab20"].colors[::2] + mpl.colormaps["tab20"].colors[1::2]
MARKERS = {"sparsity": "osD^v", "rank": "<>P*X", "model": "+x"}
COSTS: dict[str, Cost] = {
    "share of the uncompressed bytes": lambda point: point.share,
    "latency, times that of the uncompressed model": lambda point: point.times,
}


def write_plot(study: Study, host: Host, points: list[Found], path: Path) -> None:
    # Without these two, the same figures would give another file every time.
    mpl.rcParams["svg.hashsalt"] = host.name
    figure = Figure(figsize=(14, 6.5), layout="constrained")
    settings = list(dict.fromkeys(point.setting for point in points))
    for axes, (title, cost) in zip(figure.subplots(1, 2, sharey=True), COSTS.items(), strict=True):
        _draw_front(axes, points, cost)
        styles = _styles(study, settings)
        for setting in settings:
            own = [p for p in points if p.setting == setting and cost(p) is not None]
            if own:
                _draw(axes, sorted(own, key=cost), cost, *styles[setting])
        axes.set_xscale("log")
        axes.set_xlabel(title)
        axes.grid(visible=True, which="major", alpha=0.3)
    figure.axes[0].set_ylabel(f"{host.objectives[0]} on test")
    figure.suptitle(f"{host.name}{', short' if host.short else ''}")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize="small")
    figure.savefig(path, format="svg", metadata={"Date": None})


def _styles(study: Study, settings: list[str]) -> dict[str, tuple[object, str]]:
    """Models that compress nothing are black; markers tell sparsities from ranks."""
    colours, markers = itertools.cycle(COLOURS), {k: itertools.cycle(m) for k, m in MARKERS.items()}
    styles: dict[str, tuple[object, str]] = {}
    for setting in settings:
        kind = study.kind(setting)
        styles[setting] = ("black" if kind == "model" else next(colours), next(markers[kind]))
    return styles


def _draw(axes: Axes, points: list[Found], cost: Cost, colour: object, marker: str) -> None:
    axes.errorbar(
        [cost(point) for point in points],
        [point.test for point in points],
        [point.spread for point in points],
        label=points[0].setting,
        color=colour,
        marker=marker,
        linewidth=1,
        markersize=5,
        capsize=2,
    )


def _draw_front(axes: Axes, points: list[Found], cost: Cost) -> None:
    chosen = sorted(on_front(points, cost), key=cost)
    axes.plot(
        [cost(point) for point in chosen],
        [point.test for point in chosen],
        label="front, chosen on validation",
        color="grey",
        alpha=0.3,
        linewidth=6,
        drawstyle="steps-post",
    )
