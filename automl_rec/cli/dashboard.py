"""``automl-rec dashboard``: Optuna Dashboard on a study's database, on loopback."""

import argparse

from automl_rec.cli.options import Commands, add_study

PORT = 8080


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("dashboard", help="open Optuna Dashboard on a study")
    add_study(parser)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: loopback; the dashboard knows no passwords)",
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"port (default: {PORT})")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serves until Ctrl-C."""
    from automl_rec.search.study import Study
    from automl_rec.storage.dashboard import serve

    study = Study.open(arguments.study, storage=arguments.storage, out=arguments.runs)
    print(f"http://{arguments.host}:{arguments.port}/dashboard shows {study.name}; Ctrl-C ends it.")
    serve(study.url, arguments.host, arguments.port)
    return 0
