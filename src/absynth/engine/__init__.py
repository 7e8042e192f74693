"""How gradients of log densities are computed fast; the door to it is :mod:`absynth.samplers.engine`.

``trace`` records what a log density does to its argument, ``gradient`` makes a graph of its value and gradient,
``program`` writes the functions of a chain from the graph, with the kernels of ``layers``; ``fused`` runs whole chains
in one C++ function, which ``library`` builds; ``compiled`` and ``graph`` hand the graph to torch.compile and to CUDA
graphs. Nothing here knows an algorithm or a sampler.
"""
