"""Studies and trials in a database."""
