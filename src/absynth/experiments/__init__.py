"""Experiments: one file each, behind every recorded figure. ``absynth reproduce`` lists them, ``reproduce NAME`` runs one."""

from absynth.experiments.harness import Experiment, Figures, Run, experiment, find, names, reproduce, table

__all__ = ["Experiment", "Figures", "Run", "experiment", "find", "names", "reproduce", "table"]
