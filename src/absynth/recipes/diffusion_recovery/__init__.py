"""Diffusion recovery likelihood (Gao, Song, Poole, Wu, Kingma, ICLR 2021, arXiv:2012.08125)."""
