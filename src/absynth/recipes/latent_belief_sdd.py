"""The latent belief model on the Stanford Drone data in TrajNet's form: 8 positions observed, 12 predicted.

The published test futures are not public, so every fifth training video is held out, whole. Lengths are in the files'
own unit, so the figures stand beside each other and beside the baselines, not beside those published in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

from absynth.data import tracks
from absynth.data.images import find_root
from absynth.data.tracks import Tracks
from absynth.recipes._tracks import Split, TrackRecipe


@dataclass(frozen=True, kw_only=True)
class LatentBeliefSDD(TrackRecipe):
    """Latent belief energy-based model (Pang et al. 2021) on Stanford Drone tracks."""

    def tracks(self, split: Split) -> list[Tracks]:
        return tracks.sdd(find_root(self.data, "sdd"), "train" if split == "train" else "test")
