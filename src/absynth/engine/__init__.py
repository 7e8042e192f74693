"""How gradients of log densities are computed fast; the door to it is :mod:`absynth.samplers.engine`.

``trace`` records what a log density does to its argument, ``ops`` and its kin know the derivative of each recorded
step, ``plan`` strings them into a forward and a backward pass without autograd, ``fused`` runs whole chains in one C++
function, ``compiled`` and ``graph`` hand the same record to torch.compile and to CUDA graphs. Nothing here knows an
algorithm or a sampler.
"""
