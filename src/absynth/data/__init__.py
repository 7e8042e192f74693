"""Data: pictures of published sets and of one's own, exact 2-D targets, and the order in which examples are seen."""
