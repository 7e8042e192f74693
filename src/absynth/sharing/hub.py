"""The Hugging Face hub: saved models to it and from it (extra ``hub``)."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absynth.errors import InputError

if TYPE_CHECKING:
    from absynth.algorithms import Algorithm

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILES = ["README.md", "config.json", "recipe.json", "model.safetensors", "*.jsonl", "*/result.json", "*.png", "*.gif"]
"""What is fetched of a model: nothing that could be executed or unpickled."""


def is_id(text: str) -> bool:
    """Whether a text has the form of a model's name on the hub, OWNER/NAME."""
    return _ID.fullmatch(text) is not None


def fetch(repo: str, *, revision: str = "", out: Path | None = None) -> Path:
    """Download a model, or find it in the hub's cache.

    Args:
        repo: OWNER/NAME.
        revision: Branch, tag or commit. Defaults to the main branch.
        out: Folder to download to. Defaults to the cache of huggingface_hub.

    Raises:
        InputError: huggingface_hub is not installed, or the model cannot be downloaded.
    """
    found = _client().snapshot_download
    try:
        return Path(found(repo, revision=revision or None, allow_patterns=_FILES, local_dir=out))
    except Exception as error:  # of many kinds: the network's, the hub's, the disk's
        reason = _reason(error)
        raise InputError(f"could not fetch {repo} from the hub ({reason}): check its name and the network") from None


def push_to_hub(model: Algorithm, repo: str, *, license: str = "", private: bool = False, message: str = "") -> str:
    """Save a model to the hub, with its model card. Log in before: ``hf auth login``.

    Args:
        model: A model that :func:`absynth.load`, :func:`absynth.fit` or :func:`absynth.from_pretrained` returned.
        repo: OWNER/NAME. Created if missing; what it holds of an earlier version of the model is replaced.
        license: License of the weights, an SPDX identifier such as ``CC-BY-4.0``.
        private: Whether a new repository is private.
        message: Message of the commit. Defaults to "Upload METHOD on DATA".

    Returns:
        Address of the model.

    Raises:
        InputError: huggingface_hub is not installed, or the hub refused.
    """
    from absynth.sharing.folder import save_pretrained

    if not is_id(repo):
        raise InputError(f"expected OWNER/NAME of a model on the hub, got {repo[:80]!r}")
    client = _client()
    with tempfile.TemporaryDirectory() as place:
        folder = save_pretrained(model, Path(place) / "model", license=license, name=repo)
        try:
            api = client.HfApi()
            api.create_repo(repo, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repo,
                folder_path=folder,
                commit_message=message or f"Upload {model.recipe.name()} on {model.recipe.examples.name}",
                delete_patterns=["*/result.json", "*/*.png", "*/*.gif"],  # figures of the weights before
            )
        except Exception as error:  # of many kinds: the network's, the hub's, the account's
            reason = _reason(error)
            raise InputError(f"could not save to {repo} on the hub ({reason}): log in with hf auth login") from None
        return f"{api.endpoint}/{repo}"


def _client() -> Any:
    """The module huggingface_hub."""
    try:
        import huggingface_hub
    except ImportError:
        raise InputError("the hub needs the package huggingface_hub: pip install 'absynth[hub]'") from None
    return huggingface_hub


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
