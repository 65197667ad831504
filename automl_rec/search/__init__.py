"""The search: suggestions, engines, and the run of a study."""
