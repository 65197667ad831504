"""Writes the generated parts of the README, and the plots, from what is among the results.

usage: python -m studies.embeddings.table

Needs matplotlib, which the project does not.
"""

import json
import statistics
from typing import Any

from studies.embeddings.plot import write_plot
from studies.embeddings.points import Cost, Point, Refused, behind, read_points
from studies.embeddings.study import HERE, RESULTS, Host, Study, read_study
from studies.fronts import on_front
from studies.readme import grid, write

README = HERE / "README.md"
COSTS: dict[str, Cost] = {
    "bytes of tables": lambda point: point.tables,
    "all bytes": lambda point: point.all,
}
Points = dict[str, list[Point]]


def host_lines(study: Study, host: Host, points: list[Point], refused: list[Refused]) -> list[str]:
    """The table of a host, its plot, and what could not be."""
    plot = RESULTS / f"{host.stem}.svg"
    write_plot(host, points, plot)
    best = on_front(points, COSTS["bytes of tables"])
    measured = {p.setting for p in points} | {r.setting for r in refused}
    columns = [*study.budgets, None]
    head = ["setting", *(f"{b:g}" for b in study.budgets), "as it is", "CPU s"]
    rows = [
        _row(host, setting, columns, points, refused, best)
        for setting in host.settings
        if setting in measured
    ]
    counts = sorted({point.seeds for point in points})
    seeds = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    full = next((p for p in points if p.setting == "full"), None)
    whole = f"{full.tables:,.0f} " if full else ""
    told = (
        f"{host.objectives[0]} on test (bytes of tables, as a share of the {whole}of full ones); "
        f"seeds: {seeds}."
    )
    return [
        f"### {host.name}",
        "",
        told,
        "",
        *grid(head, rows),
        "",
        f"![{host.name}](results/{plot.name})",
        "",
        *_reasons(refused),
    ]


def _row(
    host: Host,
    setting: str,
    columns: list[float | None],
    points: list[Point],
    refused: list[Refused],
    best: list[Point],
) -> list[str]:
    own = {p.budget: p for p in points if p.setting == setting}
    none = {r.budget for r in refused if r.setting == setting}
    cells = [
        _cell(host, own[budget], best) if budget in own else "none" if budget in none else ""
        for budget in columns
    ]
    cost = f"{statistics.mean(p.cpu_seconds for p in own.values()):.0f}" if own else ""
    return [setting, *cells, cost]


def _cell(host: Host, point: Point, best: list[Point]) -> str:
    value = f"{point.test[host.objectives[0]]:.4f}"
    spread = f" ± {point.spread:.4f}" if point.seeds > 1 else ""
    late = ", time" if point.stopped else ""
    bold = "**" if point in best else ""
    return f"{bold}{value}{bold}{spread} ({point.share:.3f}{late})"


def _reasons(refused: list[Refused]) -> list[str]:
    """What is none, setting by setting; the reason is that of the first budget refused."""
    lines = []
    for setting in dict.fromkeys(r.setting for r in refused):
        own = [r for r in refused if r.setting == setting]
        where = ", ".join(f"{r.budget:g}" for r in own if r.budget is not None)
        lines.append(f"- {setting}{f' at {where}' if where else ''}: {own[0].why}")
    return [*lines, ""] if lines else []


def comparison_lines(study: Study, title: str, told: dict[str, Any], found: Points) -> list[str]:
    """The first settings beside the others, and what the first gain over the others' mean."""
    settings = [*told["first"], *told["others"]]
    rows = []
    for name, points in found.items():
        quality = _quality(study.hosts[name], told.get("quality"))
        if quality is None:
            continue
        for budget in told.get("budgets", study.budgets):
            near = [_near(study, points, setting, budget) for setting in settings]
            values = [None if p is None else p.test[quality] for p in near]
            if any(value is not None for value in values[: len(told["first"])]):
                cells = [_told(p, quality) for p in near]
                rows.append([name, quality, f"{budget:g}", *cells, _gain(told, values)])
    if not rows:
        return []
    head = ["host", "quality", "budget", *settings, "gain"]
    return [f"### {title}", "", *grid(head, rows), ""]


def _quality(host: Host, beginning: str | None) -> str | None:
    """The quality whose name begins so; the first where nothing is said."""
    return next((q for q in host.objectives if q.startswith(beginning or "")), None)


def _near(study: Study, points: list[Point], setting: str, budget: float) -> Point | None:
    """A setting's point at a budget; of a width of the model, the one of the same share."""
    sized = study.settings[setting]
    at = None if sized.get("width") == budget else budget
    return next((p for p in points if p.setting == setting and p.budget == at), None)


def _told(point: Point | None, quality: str) -> str:
    return "" if point is None else f"{point.test[quality]:.4f} ({point.share:.3f})"


def _gain(told: dict[str, Any], values: list[float | None]) -> str:
    ours = [value for value in values[: len(told["first"])] if value is not None]
    others = [value for value in values[len(told["first"]) :] if value is not None]
    if not others:
        return ""
    return f"{100 * (statistics.mean(ours) / statistics.mean(others) - 1):+.1f} %"


def front_lines(study: Study, found: Points) -> list[str]:
    """Setting by host: where it is on the front, or how near; and who never is."""
    lines: list[str] = []
    for title, cost in COSTS.items():
        best = {name: on_front(points, cost) for name, points in found.items()}
        rows = [
            [
                setting,
                *(_standing(setting, points, best[name], cost) for name, points in found.items()),
            ]
            for setting in study.settings
            if any(p.setting == setting for points in found.values() for p in points)
        ]
        on = {point.family for points in best.values() for point in points}
        families = dict.fromkeys(p.family for points in found.values() for p in points)
        never = ", ".join(family for family in families if family not in on) or "none"
        lines += [
            f"### Fronts by {title}",
            "",
            *grid(["setting", *found], rows),
            "",
            f"Never on one of these fronts: {never}.",
            "",
        ]
    return lines


def _standing(setting: str, points: list[Point], best: list[Point], cost: Cost) -> str:
    own = [p for p in points if p.setting == setting]
    if not own:
        return ""
    on = [p for p in own if p in best]
    if on:
        return (
            "**" + ", ".join("as it is" if p.budget is None else f"{p.budget:g}" for p in on) + "**"
        )
    return f"{100 * min(behind(p, points, cost) for p in own):.1f} % behind"


def lookup_lines() -> list[str]:
    path = RESULTS / "lookups.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    if not lines:
        return []
    full = lines[0]
    rows = [
        [
            line["store"],
            _times(line["uniform_us"], full["uniform_us"]),
            _times(line["skewed_us"], full["skewed_us"]),
            f"{line['bytes'] / 1e6:,.3g}",
            *_specified(line, full),
        ]
        for line in lines
    ]
    head = ["store", "uniform ids, us (x full)", "skewed ids, us (x full)", "MB"]
    return [*grid([*head, "specification: us (x full)", "specification: MB"], rows), ""]


def scale_lines() -> list[str]:
    path = RESULTS / "scale.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    head = [
        "scheme",
        "table, MB",
        "file, MB",
        "peak: built, MB",
        "trained, MB",
        "all, MB",
        "a step",
    ]
    sizes = ("table_bytes", "file_bytes", "build_bytes", "train_bytes", "all_bytes")
    rows = [
        [
            line["scheme"],
            *(f"{line[size] / 1e6:,.1f}" for size in sizes),
            f"{1e3 * line['step_seconds']:,.0f} ms",
        ]
        for line in lines
    ]
    return [*grid(head, rows), ""] if rows else []


def _times(value: float, full: float) -> str:
    return f"{value:,.0f} ({value / full:.1f})"


def _specified(line: dict[str, Any], full: dict[str, Any]) -> list[str]:
    if line["specified"] is None:
        return ["", ""]
    microseconds, megabytes = line["specified"]
    return [_times(microseconds, full["specified"][0]), f"{megabytes:g}"]


def main() -> None:
    study = read_study()
    read = {name: read_points(study, host) for name, host in study.hosts.items()}
    found = {name: points for name, (points, _) in read.items() if points}
    tables = [host_lines(study, study.hosts[name], *read[name]) for name in found]
    compared = [comparison_lines(study, t, told, found) for t, told in study.comparisons.items()]
    write(README, "tables", [line for lines in (*tables, *compared) for line in lines])
    write(README, "fronts", front_lines(study, found))
    write(README, "lookups", lookup_lines())
    write(README, "scale", scale_lines())


if __name__ == "__main__":
    main()
