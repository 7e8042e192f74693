"""What the benchmarks of chains share: fair timing, the naive loops that they are compared with, the networks."""
