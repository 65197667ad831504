"""Writes the generated parts of the README, and the plots, from what is among the results.

usage: python -m studies.compression.table

Needs matplotlib, which the project does not.
"""

import json
from typing import Any

from studies.compression.plot import COSTS, write_plot
from studies.compression.points import Found, Refused, kept_of, read_points
from studies.compression.study import HERE, RESULTS, Host, Study, read_study
from studies.fronts import on_front
from studies.readme import grid, write

README = HERE / "README.md"
GAIN = 1.1
"""A store buys time where it is so many times as fast by least times and by the middle round."""


def host_lines(study: Study, host: Host, points: list[Found], refused: list[Refused]) -> list[str]:
    """The table of a host, its plot, and what could not be."""
    lines = kept_of(study, host)
    plot = RESULTS / f"{host.stem}{'_short' if host.short else ''}.svg"
    write_plot(study, host, points, plot)
    by_bytes, by_time = (on_front(points, cost) for cost in COSTS.values())
    head = [
        "setting",
        "size",
        f"{host.objectives[0]} on test",
        "on validation",
        "bytes",
        "latency",
        "front of",
        "CPU s",
    ]
    rows = [
        _row(point, least_bytes=point in by_bytes, least_time=point in by_time) for point in points
    ]
    return [
        f"### {_title(host)}",
        "",
        f"Seeds: {_seeds(points)}. {_whole(points)}{_loads(lines)}",
        "",
        *grid(head, rows),
        "",
        f"![{host.name}](results/{plot.name})",
        "",
        *(f"- {r.setting} at {r.size}: {r.why}" for r in refused),
        "",
    ]


def _title(host: Host) -> str:
    return f"{host.name}{', short' if host.short else ''}"


def _row(point: Found, *, least_bytes: bool, least_time: bool) -> list[str]:
    spread = f" ± {point.spread:.4f}" if point.seeds > 1 else ""
    fronts = [name for name, on in (("bytes", least_bytes), ("time", least_time)) if on]
    shared = f" of {point.shared}" if point.shared > 1 else ""
    return [
        point.setting,
        "" if point.size is None else str(point.size),
        f"{point.test:.4f}{spread}",
        f"{point.validation:.4f}",
        f"{point.share:.3f}",
        "" if point.times is None else f"{point.times:.2f}",
        ", ".join(fronts),
        f"{point.cpu_seconds:.0f}{shared}",
    ]


def _seeds(points: list[Found]) -> str:
    counts = sorted({point.seeds for point in points})
    return " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))


def _whole(points: list[Found]) -> str:
    one = next((p for p in points if p.setting == "uncompressed"), None)
    if one is None:
        return ""
    took = "" if one.latency_ms is None else f", {one.latency_ms:.2f} ms an answer"
    return f"Uncompressed: {one.bytes:,.0f} bytes{took}. "


def _loads(lines: list[dict[str, Any]]) -> str:
    loads = [line["load"] for line in lines]
    return f"Load of the machine: {min(loads):.1f} to {max(loads):.1f}."


def comparison_lines(
    title: str, told: dict[str, Any], found_points: list[tuple[Host, list[Found]]]
) -> list[str]:
    """Settings side by side at each size: quality, and the share of bytes."""
    settings = told["settings"]
    rows = []
    for host, points in found_points:
        if host.name not in told["hosts"]:
            continue
        values = {(p.setting, p.size): p for p in points}
        whole = values.get(("uncompressed", None))
        for size in host.sizes[told["size"]]:
            own = [values.get((setting, size)) for setting in settings]
            if any(own):
                reference = "" if whole is None else f"{whole.test:.4f}"
                rows.append([_title(host), f"{size}", reference, *map(_cell, own)])
    if not rows:
        return []
    return [f"### {title}", "", *grid(["host", told["size"], "uncompressed", *settings], rows), ""]


def _cell(point: Found | None) -> str:
    return "" if point is None else f"{point.test:.4f} ({point.share:.3f})"


def layer_lines() -> list[str]:
    """A table per size of layer: what each store saves and gains."""
    path = RESULTS / "layers.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    shapes = dict.fromkeys((line["what"], line["rows"], line["columns"]) for line in lines)
    text: list[str] = []
    for what, rows, columns in shapes:
        own = [x for x in lines if (x["what"], x["rows"], x["columns"]) == (what, rows, columns)]
        batches = list(dict.fromkeys(line["batch"] for line in own))
        whole = {line["batch"]: line["dense_us"] for line in own}
        dense = ", ".join(f"{whole[batch]:,.0f}" for batch in batches)
        words = "Products with" if what == "product" else "Sums of 100 rows of"
        text += [
            f"### {words} {rows} x {columns}",
            "",
            (
                f"Dense: {own[0]['dense_bytes']:,} bytes; {dense} us at batches of "
                f"{', '.join(f'{batch:,}' for batch in batches)}."
            ),
            "",
            *grid(
                ["store", "size", "bytes", *(f"gain at {batch:,}" for batch in batches), "buys"],
                _layer_rows(own, batches),
            ),
            "",
        ]
    if lines:
        text.append(_loads(lines))
    return text


def _layer_rows(lines: list[dict[str, Any]], batches: list[int]) -> list[list[str]]:
    rows = []
    for store, size in dict.fromkeys((line["store"], line["size"]) for line in lines):
        own = {x["batch"]: x for x in lines if (x["store"], x["size"]) == (store, size)}
        share = own[batches[0]]["bytes"] / own[batches[0]]["dense_bytes"]
        faster = [f"{batch:,}" for batch in batches if _gains(own[batch])]
        bought = ["bytes"] if share < 1 else []
        bought += [f"time at {', '.join(faster)}"] if faster else []
        gains = [f"{own[batch]['gain']:.2f} ({own[batch]['kernel']})" for batch in batches]
        rows.append([store, size, f"{share:.3f}", *gains, "; ".join(bought) or "nothing"])
    return rows


def _gains(line: dict[str, Any]) -> bool:
    return min(line["gain"], line["middle"]) >= GAIN


def main() -> None:
    studies = [read_study(short=False), read_study(short=True)]
    tables: list[str] = []
    points: list[tuple[Host, list[Found]]] = []
    for study in studies:
        for host in study.hosts.values():
            if host.short and host.model == studies[0].hosts[host.name].model:
                continue  # its points are those of the full plan
            own, refused = read_points(study, host)
            if own:
                points.append((host, own))
                tables += host_lines(study, host, own, refused)
    write(README, "tables", tables)
    compared = [
        line
        for title, told in studies[0].comparisons.items()
        for line in comparison_lines(title, told, points)
    ]
    write(README, "comparisons", compared)
    write(README, "layers", layer_lines())


if __name__ == "__main__":
    main()
