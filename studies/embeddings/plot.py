"""Quality against the bytes of tables, one SVG a host."""

import itertools
from collections.abc import Iterable
from pathlib import Path

from studies.charts import COLOURS, Mark, chart, draw, draw_front, dress
from studies.embeddings.points import Point
from studies.embeddings.study import Host
from studies.fronts import on_front

MARKERS = "osD^v<>P*Xhp"
REFERENCES = ("full", "width")
"""Families drawn in black: what there is without any method."""


def write_plot(host: Host, points: list[Point], path: Path) -> None:
    def marks(points: Iterable[Point]) -> list[Mark]:
        return [Mark(p.tables, p.test[host.objectives[0]], p.spread) for p in points]

    with chart(host.name, path, 10, 6) as figure:
        axes = figure.add_subplot()
        draw_front(axes, marks(on_front(points, lambda p: p.tables)))
        styles = zip(itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False)
        references = itertools.cycle("x+1234")
        for setting in dict.fromkeys(point.setting for point in points):
            own = [point for point in points if point.setting == setting]
            plain = own[0].family in REFERENCES
            style = ("black", next(references)) if plain else next(styles)
            draw(axes, marks(own), setting, *style)
        dress(axes, "bytes of the tables")
        axes.set_ylabel(f"{host.objectives[0]} on test")
        axes.set_title(host.name)
        figure.legend(loc="outside right upper", fontsize="small")
