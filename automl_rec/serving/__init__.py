"""Artefacts, loaded and asked for recommendations."""
