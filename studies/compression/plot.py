"""Quality against bytes and against latency, one SVG a host."""

import itertools
from collections.abc import Iterable
from pathlib import Path

from studies.charts import COLOURS, Mark, chart, draw, draw_front, dress
from studies.compression.points import Cost, Found
from studies.compression.study import Host, Study
from studies.fronts import on_front

MARKERS = {"sparsity": "osD^v", "rank": "<>P*X", "model": "+x"}
COSTS: dict[str, Cost] = {
    "share of the uncompressed bytes": lambda point: point.share,
    "latency, times that of the uncompressed model": lambda point: point.times,
}


def write_plot(study: Study, host: Host, points: list[Found], path: Path) -> None:
    settings = list(dict.fromkeys(point.setting for point in points))
    with chart(host.name, path, 14, 6.5) as figure:
        for axes, (title, cost) in zip(
            figure.subplots(1, 2, sharey=True), COSTS.items(), strict=True
        ):
            draw_front(axes, _marks(on_front(points, cost), cost))
            styles = _styles(study, settings)
            for setting in settings:
                if own := _marks((p for p in points if p.setting == setting), cost):
                    draw(axes, own, setting, *styles[setting])
            dress(axes, title)
        figure.axes[0].set_ylabel(f"{host.objectives[0]} on test")
        figure.suptitle(f"{host.name}{', short' if host.short else ''}")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", fontsize="small")


def _marks(points: Iterable[Found], cost: Cost) -> list[Mark]:
    """Those of known cost."""
    known = ((cost(point), point) for point in points)
    return [Mark(spent, p.test, p.spread) for spent, p in known if spent is not None]


def _styles(study: Study, settings: list[str]) -> dict[str, tuple[object, str]]:
    """Models that compress nothing are black; markers tell sparsities from ranks."""
    colours, markers = itertools.cycle(COLOURS), {k: itertools.cycle(m) for k, m in MARKERS.items()}
    styles: dict[str, tuple[object, str]] = {}
    for setting in settings:
        kind = study.kind(setting)
        styles[setting] = ("black" if kind == "model" else next(colours), next(markers[kind]))
    return styles
