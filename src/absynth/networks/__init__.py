"""Networks: energies, generators, inference models, flows, translators; :mod:`absynth.networks.ready` chooses one."""

from absynth.networks.ready import conv_energy, energy, generator, inference, mlp_energy

__all__ = ["conv_energy", "energy", "generator", "inference", "mlp_energy"]
