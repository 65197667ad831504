"""Studies and trials in one database: Optuna's tables and, beside them, ours."""
