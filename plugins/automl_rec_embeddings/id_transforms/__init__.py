"""Id transforms: which row of each store an id reads."""
