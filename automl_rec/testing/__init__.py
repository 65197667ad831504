"""Conformance suites for plugin authors, and small planted data sets."""
