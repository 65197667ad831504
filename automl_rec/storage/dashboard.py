"""Optuna Dashboard, served on a study's database."""

from automl_rec.errors import StorageError


def serve(url: str, host: str, port: int) -> None:
    """Serves the dashboard until interrupted.

    It has no authentication: whoever reaches the port can read and delete studies.

    Raises:
        StorageError: the dashboard is not installed, or the port is taken.
    """
    try:
        from optuna_dashboard import run_server
    except ImportError as error:
        raise StorageError(
            f"The dashboard is not installed ({error}). Install it with: "
            f"pip install 'automl-rec[dashboard]'."
        ) from error
    try:
        run_server(url, host=host, port=port)
    except (OSError, OverflowError) as error:
        raise StorageError(
            f"The dashboard cannot listen on {host}:{port}: {error}. Choose another --port."
        ) from error
