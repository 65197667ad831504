"""Row stores: the rows that slots name."""
