"""First-party rank."""
