"""What is asked of a study with a plan of trainings: which, on what, how many at once."""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from studies import places
from studies.processes import use_one_thread

Training = TypeVar("Training")


def parser(study: str, description: str, hosts: Iterable[str]) -> argparse.ArgumentParser:
    """The options that every plan has; see `parse`."""
    made = argparse.ArgumentParser(prog=f"python -m studies.{study}.run", description=description)
    made.add_argument("hosts", nargs="*", metavar="HOST", help=f"of {', '.join(hosts)}")
    made.add_argument("--only", nargs="+", metavar="SETTING")
    made.add_argument("--seeds", type=int, metavar="N", help="no more than the first N")
    made.add_argument("--minutes", type=float, default=float("inf"), help="begin none after")
    made.add_argument("--jobs", type=int, default=2, help="trainings at once, one thread each")
    made.add_argument("--work", type=Path, default=places.RUNS / study)
    made.add_argument("--again", action="store_true", help="also what is among the results")
    made.add_argument("--plan", action="store_true", help="show what would be run, and end")
    return made


def parse(
    made: argparse.ArgumentParser, hosts: Iterable[str], settings: Iterable[str]
) -> argparse.Namespace:
    """What was asked for, of these hosts and settings."""
    asked = made.parse_args()
    for name in asked.hosts:
        if not any(is_named(host, [name]) for host in hosts):
            made.error(f"no host is named {name}")
    if unknown := set(asked.only or ()) - set(settings):
        made.error(f"no setting is named {', '.join(sorted(unknown))}")
    return asked


def is_named(host: str, asked: Sequence[str]) -> bool:
    """Whether a host, data/model, is one of those asked for, by its name or its data's."""
    return not asked or any(host == name or host.startswith(f"{name}/") for name in asked)


def run(
    trainings: Iterable[Training], train: Callable[[Training], bool], asked: argparse.Namespace
) -> int:
    """Trains some at once, and begins none after the time asked for; 1 if any failed.

    Args:
        trainings: in the order in which they begin.
        train: keeps what is found, or writes into the folder ``asked.work`` why not; whether it
            could.
        asked: by `parse`.
    """
    end = time.monotonic() + 60 * asked.minutes
    use_one_thread()
    asked.work.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(asked.jobs) as pool:
        running = [pool.submit(_train, training, train, end) for training in trainings]
        failed = sum(not future.result() for future in running)
    if failed:
        print(f"{failed} failed; {asked.work} says why.", file=sys.stderr)
    return min(failed, 1)


def _train(training: Training, train: Callable[[Training], bool], end: float) -> bool:
    return time.monotonic() >= end or train(training)
