"""A measurement in a process of its own, so that what ran before has left nothing behind."""

import json
import subprocess
import sys
from typing import Any


def fresh(module: str, *arguments: object) -> dict[str, Any]:
    """What a module of this folder prints as JSON."""
    command = [sys.executable, "-m", f"studies.speed.{module}", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
