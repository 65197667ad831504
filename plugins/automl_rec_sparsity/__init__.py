"""First-party sparsity."""
