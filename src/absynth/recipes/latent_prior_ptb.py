"""The latent-space EBM prior on Penn Treebank, at a size that one CPU core trains in a few minutes.

Sentences of up to 20 of the 2,000 most frequent words. In so few updates a posterior chain from noise that samples
(τ = δ) leaves the generator doing without z. What keeps z in use here: chains begin at an inference model, and the
likelihood counts 20 times in them. ``--posterior_start noise --posterior_steps 20 --posterior_step_size 0.5
--posterior_noise 0 --likelihood_weight 1 --vocabulary_size 10000 --length 79 --embedding 128 --hidden 512 --latent 32
--steps 40000`` is nearer the paper, which reports forward perplexity 107.45 and reverse 181.54, real text 100.36
(Table 2; with an evaluator of its own).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from absynth.data import text
from absynth.data.images import find_root
from absynth.data.text import Part, Text
from absynth.networks.mlp import Activation
from absynth.recipes.latent_prior_text import LatentPriorText


@dataclass(frozen=True, kw_only=True)
class LatentPriorPTB(LatentPriorText):
    """Latent-space EBM prior on Penn Treebank, short sentences, small networks."""

    steps: int = 450
    batch: int = 64
    threads: int = 1
    checkpoint_every: int = 150
    vocabulary_size: int = 2000
    length: int = 21
    latent: int = 16
    embedding: int = 64
    hidden: int = 96
    nef: int = 100
    ebm_activation: Activation = "silu"
    prior_steps: int = 60
    prior_step_size: float = 0.4
    posterior_start: Literal["noise", "last", "inference"] = "inference"
    posterior_steps: int = 3
    posterior_step_size: float = 0.2
    posterior_noise: float = 0.2
    likelihood_weight: float = 20.0
    prior_lr: float = 1e-3
    generator_lr: float = 6e-3
    inference_lr: float = 4e-3
    last_lr: float = 0.0

    def read(self, split: Part) -> Text:
        return read(self.data, split)


@lru_cache(maxsize=4)
def read(data: str, split: Part) -> Text:
    """One split, read once a process."""
    return text.ptb(find_root(data, "ptb"), split)
