"""The latent-space EBM prior (Pang, Han, Nijkamp, Zhu, Wu, NeurIPS 2020, arXiv:2006.08205), a file per kind of data."""
