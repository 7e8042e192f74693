"""Models that travel: a folder of weights, recipe and model card, and the Hugging Face hub.

A saved model is a run directory without its checkpoints, so every command that takes a run takes it too.
"""

from absynth.sharing.folder import from_pretrained, save_pretrained
from absynth.sharing.hub import push_to_hub

__all__ = ["from_pretrained", "push_to_hub", "save_pretrained"]
