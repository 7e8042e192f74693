"""Cycle-consistent cooperative networks for unpaired translation (Xie et al., AAAI 2021, arXiv:2103.04285)."""
