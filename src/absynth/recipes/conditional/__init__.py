"""Conditional cooperative learning (Xie, Zheng, Fang, Zhu, Wu 2021, arXiv:1902.02812)."""
