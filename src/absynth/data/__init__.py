"""Data sets: published ones by name, and yours from a folder, a file, an array or a DataFrame (:func:`open`)."""

from absynth.data.dataset import Dataset
from absynth.data.sets import SETS, open

__all__ = ["SETS", "Dataset", "open"]
