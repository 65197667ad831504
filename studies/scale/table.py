"""The tables of the README, from what was measured."""

import statistics
from pathlib import Path

from studies.readme import grid, write
from studies.results import Line, Results

README = Path(__file__).with_name("README.md")


def write_tables() -> None:
    """Replaces every table that something was measured for."""
    growth = Results.of("scale", "growth").lines()
    tables = {
        "growth": growth_table([line for line in growth if "sampler" in line]),
        "start": start_table([line for line in growth if "sampler" in line]),
        "open": open_table([line for line in growth if line.get("what") == "open"]),
        "search": search_table(Results.of("scale", "search").lines()),
        "overhead": overhead_table(Results.of("scale", "overhead").lines()),
    }
    for name, table in tables.items():
        write(README, name, table)


def growth_table(lines: list[Line]) -> list[str]:
    head = (
        "sampler",
        "trials so far",
        "ask",
        "tell",
        "claim",
        "record",
        "read",
        "front",
        "whole, wall",
        "whole, processor",
        "of",
        "load",
    )
    rows = (
        (
            line["sampler"],
            f"{line['mark']:,}",
            *(number(line[part]) for part in ("ask", "tell")),
            number(line["adopt"] + line["room"] + line["claim"]),
            *(number(line[part]) for part in ("record", "read", "front", "whole", "processor")),
            f"{line['trials']}",
            f"{line['load']}",
        )
        for line in by_sampler(lines)
    )
    return grid(head, rows)


def start_table(lines: list[Line]) -> list[str]:
    head = ("sampler", "trials", "database", "start", "of it read", "swept", "learned", "load")
    rows = (
        (
            line["sampler"],
            f"{line['mark']:,}",
            f"{line['bytes'] / 1e6:.1f} MB",
            *(
                f"{number(line['start'][part])} s"
                for part in ("processor", "read", "sweep", "learn")
            ),
            f"{line['load']}",
        )
        for line in by_sampler(lines)
    )
    return grid(head, rows)


def open_table(lines: list[Line]) -> list[str]:
    head = ("trials", "open", "front", "hypervolume after every trial", "load")
    rows = (
        (
            f"{line['mark']:,}",
            *(f"{number(line[part])} s" for part in ("open", "front", "hypervolumes")),
            f"{line['load']}",
        )
        for line in sorted(lines, key=lambda line: int(line["mark"]))
    )
    return grid(head, rows)


def by_sampler(lines: list[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: (line["sampler"], line["mark"]))


def search_table(lines: list[Line]) -> list[str]:
    head = (
        "database",
        "engine",
        "trials at once",
        "trials a minute",
        "training, a trial",
        "first to last trial",
        "commands",
        "load",
    )
    rows = (
        (
            line["database"],
            line["engine"],
            f"{line['workers']}",
            number(line["per_minute"]),
            f"{number(line['training'])} s",
            f"{number(line['span'])} s",
            f"{number(line['command'])} s",
            f"{line['load']}",
        )
        for line in lines
    )
    return grid(head, rows)


def overhead_table(lines: list[Line]) -> list[str]:
    head = (
        "database",
        "processes",
        "ours, processor",
        "bare, processor",
        "ratio",
        "ours, server",
        "bare, server",
        "ours, wall",
        "bare, wall",
        "ratio",
        "spread of it",
        "load",
    )
    keys = sorted({(line["database"], line["processes"]) for line in lines})
    whole = (key for key in keys if len({li["side"] for li in lines if of(li, *key)}) == 2)
    return grid(head, (overhead_row(lines, *key) for key in whole))


def of(line: Line, database: str, processes: int) -> bool:
    return bool(line["database"] == database and line["processes"] == processes)


def overhead_row(lines: list[Line], database: str, processes: int) -> tuple[str, ...]:
    here = [line for line in lines if of(line, database, processes)]
    sides = [{li["repeat"]: li for li in here if li["side"] == side} for side in ("ours", "bare")]
    repeats = sorted(sides[0].keys() & sides[1].keys())

    def median(side: int, part: str) -> float:
        return statistics.median(sides[side][repeat][part] for repeat in repeats)

    def ratios(part: str) -> list[float]:
        return [sides[0][repeat][part] / sides[1][repeat][part] for repeat in repeats]

    wall = ratios("wall")
    return (
        database,
        f"{processes}",
        number(median(0, "processor")),
        number(median(1, "processor")),
        number(statistics.median(ratios("processor"))),
        number(median(0, "server")),
        number(median(1, "server")),
        number(median(0, "wall")),
        number(median(1, "wall")),
        number(statistics.median(wall)),
        f"{number(min(wall))} to {number(max(wall))}, {len(wall)} runs",
        f"{max(li['load'] for li in here)}",
    )


def number(value: float) -> str:
    """Three significant digits."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


if __name__ == "__main__":
    write_tables()
