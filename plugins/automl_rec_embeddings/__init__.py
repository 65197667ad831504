"""First-party embeddings."""
