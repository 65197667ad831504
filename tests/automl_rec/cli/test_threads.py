"""The commands and the OpenMP threads of their own process."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("said", "expected"), [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_threads_do_not_spin_for_long_unless_the_user_says_so(
    said: dict[str, str], expected: str
) -> None:
    code = (
        "import os, sys\n"
        "from automl_rec.cli import main\n"
        "main(['data', 'list', '--json'])\n"
        "print(os.environ['GOMP_SPINCOUNT'], file=sys.stderr)"
    )
    inherited = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | said,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.split() == [expected]
