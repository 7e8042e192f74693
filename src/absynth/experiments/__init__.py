"""Experiments behind the recorded figures: ``absynth reproduce`` lists them, ``absynth reproduce NAME`` runs one."""

from absynth.experiments.harness import Experiment, Figures, Run, experiment, find, names, reproduce, table

__all__ = ["Experiment", "Figures", "Run", "experiment", "find", "names", "reproduce", "table"]
