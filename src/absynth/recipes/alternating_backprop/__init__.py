"""Alternating back-propagation (Han, Lu, Zhu, Wu, AAAI 2017, arXiv:1606.08571) and short-run inference."""
