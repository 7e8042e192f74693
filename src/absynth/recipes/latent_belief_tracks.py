"""The latent belief model on a user's own tracks: text or CSV of frame, agent, x, y.

A folder is read file by file, each a recording; every fifth file is held out. Of a single file the last fifth of its
time is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from absynth.data import tracks
from absynth.data.tracks import Tracks
from absynth.errors import InputError
from absynth.recipes._tracks import Split, TrackRecipe


@dataclass(frozen=True, kw_only=True)
class LatentBeliefTracks(TrackRecipe):
    """Latent belief energy-based model (Pang et al. 2021) on your own tracks."""

    def tracks(self, split: Split) -> list[Tracks]:
        if not self.data:
            raise InputError("expected --data FILE or FOLDER of tracks (frame, agent, x, y), got none")
        recordings = _read(self.data)
        if len(recordings) == 1:
            early, late = recordings[0].split(0.8)
            return [early if split == "train" else late]
        return [r for i, r in enumerate(recordings) if (i % 5 == min(4, len(recordings) - 1)) == (split != "train")]


@lru_cache(maxsize=4)
def _read(data: str) -> list[Tracks]:
    return tracks.read_all(data)
