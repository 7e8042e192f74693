"""Maximum likelihood learning of an EBM of video: the spatial-temporal generative ConvNet.

Xie, Zhu, Wu, CVPR 2017, arXiv:1606.00972. The paper learns from one clip of 70 frames at 100 to 224 pixels with three
persistent chains, 20 steps of δ = .3 per update on values of 0 to 255 and N(0, 1) as the reference: steps so short that
the noise is invisible. Here chains are short runs on windows of the clip, in the scale and with the temperature of the
images' models; windows overlap, so a clip of 64 frames is a few dozen examples. Chains start at a linear dynamic
texture (:mod:`absynth.dynamic_texture`), which already moves as the clip does, and f learns what it lacks; from noise
(``--start noise``) learning takes many times as many updates.

``--stationary time`` has a layer that sees whole frames (an object that moves), ``space_time`` has local layers alone
(a texture that moves). Either makes clips of any length: ``absynth sample RUN --frames 64``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.data.hidden import Hidden, hidden, through_time
from absynth.dynamic_texture import LinearDynamics
from absynth.networks.spacetime import SpaceTimeF, Stationary
from absynth.recipes._fields import ColdChains, FinalShare, VideoOptions
from absynth.recipes.bounds import Count, Decay, Natural, NonNegative, Positive, Share
from absynth.recipes.maximum_likelihood._chains import MaximumLikelihoodRecipe
from absynth.recipes.presets import Preset
from absynth.samplers import FromNoise
from absynth.seeding import stream
from absynth.types import Batch

HIDDEN = int.from_bytes(b"hidden", "big")
"""Separates the choice of what is hidden of a clip from all other noise of a seed."""

PRESETS = {
    "fire": Preset(minutes=0.7),
    "flag": Preset(minutes=0.7),
    "fountain": Preset(minutes=0.7),
}


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihoodVideo(FinalShare, ColdChains, VideoOptions, MaximumLikelihoodRecipe):
    """Spatial-temporal generative ConvNet: an energy-based model of video, of one clip or several (Xie et al. 2017)."""

    kinds = ("video",)
    TINY: ClassVar[dict[str, Any]] = {
        **MaximumLikelihoodRecipe.TINY, "size": 16, "frames": 8, "batch": 3, "dynamics_rank": 4,
    }  # fmt: skip

    steps: Count = 100
    batch: Count = 3
    threads: int = 1
    checkpoint_every: Count = 100
    stationary: Stationary = "time"
    """Axes along which the model is stationary: time alone (f sees whole frames), or space and time (local layers)."""
    energy_width: Count = 16
    chain_steps: Count = 20
    start: Literal["dynamics", "noise", "persistent", "data"] = "dynamics"  # type: ignore[assignment]
    """Chain initialization: a linear dynamic texture of the clips, noise (short run), a replay buffer, the data."""
    start_std: NonNegative = 0.0
    """Standard deviation of noise about the linear dynamic texture that chains start from; 0 is that of what its
    components leave out. With --start noise it is that of the noise itself."""
    temperature: NonNegative = 2e-6
    """Temperature T that is sampled; noise that a chain adds to its frames flickers."""
    dynamics_rank: Natural = 30
    """Principal components of frames in the linear dynamic texture that chains start from; 0 is the mean frame."""
    data_noise: NonNegative = 0.01
    energy_lr: Positive = 7e-4
    beta1: Decay = 0.9
    final_share: Share = 0.5
    missing: Decay = 0.0
    """Share of each training clip that is hidden, the same at every visit: learning from incomplete data."""
    missing_kind: Hidden = "pixels"
    """What is hidden: pixels anywhere, whole frames, or a block in the middle of every frame."""

    def algorithm(self) -> MaximumLikelihood:
        channels, _, *sides = self.shape
        f = SpaceTimeF(channels, sides, self.energy_width, self.energy_activation, stationary=self.stationary)
        model = self._of(f, 1.0)
        if self.start == "dynamics":
            model.start = FromNoise(self.dynamics())
        return model

    def dynamics(self) -> LinearDynamics:
        """The linear dynamic texture of what is seen of the training clips, hidden parts interpolated in time."""
        found, data = LinearDynamics(self.shape, self.dynamics_rank, self.start_std), self.examples
        clips = [clip.x.float() / 127.5 - 1 for clip in data.clips]  # type: ignore[attr-defined]
        if self.missing:
            masks = [self.observed(i, x.shape[1]) < 0.5 for i, x in enumerate(clips)]
            clips = [through_time(x[None], hole)[0] for x, hole in zip(clips, masks)]
        return found.fit(clips) if clips else found

    def batches(self, start: int = 0) -> Iterator[Batch]:
        found = super().batches(start)
        return map(self.hide, found) if self.missing else found

    def hide(self, batch: Batch) -> Batch:
        """The batch with its hidden entries unseen. What is hidden of a frame is hidden in every window that has it."""
        assert batch.index is not None
        data: Any = self.examples
        places = [data.windows[k] for k in batch.index.tolist()]
        mask = torch.stack([self.observed(i, len(data.clips[i]))[:, t : t + self.shape[1]] for i, t in places])
        mask = mask.expand_as(batch.x)
        return batch._replace(x=batch.x * mask, mask=mask)

    def observed(self, clip: int, frames: int) -> Tensor:
        """1 where a training clip is observed, ``[1, frames, height, width]``; it follows from (seed, clip) alone."""
        sides = (frames, *self.shape[2:])
        return 1 - hidden(sides, self.missing_kind, self.missing, rng=stream(self.seed, 0, clip, HIDDEN)).float()
