"""Combinations: from the rows an id reads in several stores to one row."""
