"""The latent belief model on ETH-UCY, one scene left out: train on four scenes, predict in the fifth.

8 positions observed, 12 predicted, 2.5 a second, in metres; training and validation parts as in the published splits,
tested on every window of the scene that was left out, those of agents that walk alone too. The networks are far
smaller than the published ones and read no neighbours, which the published model does not do on these scenes either.
"""

from __future__ import annotations

from dataclasses import dataclass

from absynth.data import tracks
from absynth.data.images import find_root
from absynth.data.tracks import Scene, Tracks
from absynth.recipes._tracks import Split, TrackRecipe


@dataclass(frozen=True, kw_only=True)
class LatentBeliefETHUCY(TrackRecipe):
    """Latent belief energy-based model (Pang et al. 2021) on ETH-UCY, one scene left out."""

    scene: Scene = "zara1"
    """The scene that is left out of training, and tested on."""

    def tracks(self, split: Split) -> list[Tracks]:
        return tracks.eth_ucy(find_root(self.data, "eth_ucy"), self.scene, split)
