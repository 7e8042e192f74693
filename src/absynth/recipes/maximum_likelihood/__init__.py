"""Maximum likelihood learning of an EBM of the data: short-run, persistent, contrastive divergence."""
