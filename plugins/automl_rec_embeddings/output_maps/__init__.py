"""Output maps: from the width that is stored to the width a model expects."""
