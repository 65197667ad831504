"""Search spaces: from YAML to configurations."""
