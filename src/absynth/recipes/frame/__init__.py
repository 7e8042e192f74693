"""FRAME: filters, random fields and maximum entropy (Zhu, Wu, Mumford 1998), a file per kind of data."""
