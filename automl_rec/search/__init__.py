"""The search: suggestions, early stopping across trials, engines, and the run of a study."""
