"""Feature spaces for Fréchet and kernel distances. The space is part of a figure's name: ``fd[lenet64-mnist-...]``.

Inception features come from photographs and from weights that have to be fetched. For small images a classifier trained
on the data's own labels sees more of what matters, costs half a minute, and needs nothing from anywhere. Figures in
different spaces do not compare, nor do figures of two seeds of one space; the name says which it is.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from absynth.errors import InputError
from absynth.seeding import stream

# These belong to what the name `lenet64` means, so they are no arguments.
_EXAMPLES, _EPOCHS, _BATCH, _RATE = 20_000, 3, 100, 1e-3
_PCA_EXAMPLES = 10_000


@runtime_checkable
class LabelledImages(Protocol):
    """A training split; ``labels`` are integers, or None where there are none."""

    @property
    def x(self) -> Tensor: ...
    @property
    def labels(self) -> Tensor | None: ...
    @property
    def name(self) -> str: ...
    def batch(self, index: Tensor) -> Tensor:
        """Examples as float in [−1, 1], ``[b, c, h, w]``."""
        ...


@dataclass(frozen=True)
class Features:
    """A named map from images in [−1, 1] to vectors.

    Two figures compare only if their names are equal and their numbers of examples are. Values outside [−1, 1] are
    mapped as they are: whether samples are clamped first is the caller's decision, and changes the figure.
    """

    name: str
    network: nn.Module
    shape: tuple[int, int, int] | None = None
    """Images it takes, (c, h, w); None where the network resizes by itself."""
    accuracy: float | None = None
    """Of the classifier, on the tenth of the training split that it was not trained on."""
    chunk: int = 500

    def __call__(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Features on the network's device (move ``network`` to a GPU to compute there), without a graph.

        Raises:
            InputError: images of another shape.
        """
        if self.shape is not None and x.shape[1:] != self.shape:
            raise InputError(
                f"{self.name} takes images of shape {list(self.shape)}, got {list(x.shape[1:])}: resize them"
            )
        weight = next(iter(self.network.state_dict().values()), x)
        with torch.no_grad():
            return torch.cat([self.network(part.to(weight.device, weight.dtype)) for part in x.split(self.chunk)])


class LeNet(nn.Module):
    """Two 5×5 convolutions with pooling, 64 penultimate units (the features), a linear classifier."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * (height // 4) * (width // 4), 64),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, classes)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes"]:
        return self.head(self.body(x))


class PCA(nn.Module):
    """Coordinates along principal components, not whitened: pixel units."""

    mean: Tensor
    components: Tensor

    def __init__(self, mean: Float[Tensor, "p"], components: Float[Tensor, "d p"]) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("components", components)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return (x.flatten(1) - self.mean) @ self.components.T


def classifier_features(images: LabelledImages, *, cache: Path, seed: int = 0) -> Features:
    """The 64 penultimate units of a small classifier, trained once on a labelled training split and then kept.

    Everything follows from the images and the seed (three epochs of Adam on at most 20,000 examples), and the global
    random state is left as it was. Stored under ``cache`` as NAME.safetensors and NAME.json, with NAME such as
    ``lenet64-mnist-1x28x28-seed0``; the file, not the recipe, defines the space: another machine rounds otherwise.

    Args:
        images: the *training* split; give the same one each time.
        cache: folder for trained feature networks, made if missing.
        seed: of initial weights, split and order.

    Raises:
        InputError: no labels, fewer than two classes or 20 examples, sides not within 8 to 64, or a stored network of
            this name that was trained on other images.
    """
    shape = _shape(images)
    name = f"lenet64-{images.name}-{'x'.join(map(str, shape))}-seed{seed}"
    if images.labels is None:
        raise InputError(f"classifier features need labels, and {images.name} has none: use pixel_features")
    if not all(8 <= side <= 64 for side in shape[1:]):
        raise InputError(f"classifier features take images of 8 to 64 pixels a side, got {shape[1]}x{shape[2]}: resize")
    values, labels = images.labels.cpu().unique(return_inverse=True)
    if len(values) < 2 or len(labels) < 20:
        raise InputError(
            f"a classifier needs at least 2 classes and 20 examples, got {len(values)} and {len(labels)}: "
            "use pixel_features"
        )
    weights_file, config_file = Path(cache) / f"{name}.safetensors", Path(cache) / f"{name}.json"
    print_of_data = _fingerprint(images, labels)

    if config_file.is_file() and weights_file.is_file():
        try:
            config = json.loads(config_file.read_text())
            weights = load_file(weights_file)
        except (ValueError, SafetensorError) as error:
            raise InputError(
                f"{config_file} and {weights_file.name} must be readable, got {error}: remove both"
            ) from error
        if config.get("data") != print_of_data:
            raise InputError(
                f"{config_file} must come from the images given, but its network was trained on others of the same "
                "name: remove it or give another cache"
            )
        net = _build(shape, config["classes"], seed)
        net.load_state_dict(weights)
        accuracy = config["accuracy"]
    else:
        net, accuracy, trained_on = _train(images, labels, shape, len(values), seed)
        config = {"name": name, "shape": shape, "classes": len(values), "seed": seed, "trained_on": trained_on}
        config |= {"epochs": _EPOCHS, "batch": _BATCH, "rate": _RATE, "accuracy": accuracy, "data": print_of_data}
        Path(cache).mkdir(parents=True, exist_ok=True)
        partial = weights_file.with_suffix(f".{os.getpid()}.partial")  # two processes may train at once
        save_file(net.state_dict(), partial)
        os.replace(partial, weights_file)
        partial.write_text(json.dumps(config, indent=1))
        os.replace(partial, config_file)
    return Features(name, net.body.eval().requires_grad_(False), shape, accuracy)


def pixel_features(images: LabelledImages, dim: int = 32) -> Features:
    """The first ``dim`` principal components of pixels, for data without labels: named ``pca32-NAME-CxHxW``.

    From at most 10,000 evenly spaced examples of the training split; nothing is drawn from the global random state. It
    sees coarse structure and misses sharpness: a blurred sample can score well.

    Raises:
        InputError: ``dim`` is not below both the number of examples and the number of pixels.
    """
    from sklearn.decomposition import PCA as Components  # half a second that few commands need

    shape = _shape(images)
    x = images.batch(_evenly(len(images.x), _PCA_EXAMPLES)).flatten(1).float().cpu()
    if not 0 < dim < min(x.shape):
        raise InputError(f"dim must lie between 1 and {min(x.shape) - 1} here (examples, pixels), got {dim}")
    fitted = Components(dim, svd_solver="randomized", random_state=0).fit(x.numpy())
    # Stored rows come in the order of variance; their signs are fixed by scikit-learn, and no distance depends on them.
    network = PCA(torch.from_numpy(fitted.mean_).float(), torch.from_numpy(fitted.components_).float())
    return Features(f"pca{dim}-{images.name}-{'x'.join(map(str, shape))}", network, shape)


def inception_features() -> tuple[Features | None, str]:
    """(features, why): Inception features if ``ABSYNTH_INCEPTION`` names a TorchScript file, else None and why not.

    The file is called with uint8 images and ``return_features=True`` (the form in which the original weights travel as
    TorchScript) and resizes by itself. Samples are clamped and rounded to uint8, as for published figures.
    """
    path = os.environ.get("ABSYNTH_INCEPTION")
    if not path:
        return (
            None,
            "no Inception weights: set ABSYNTH_INCEPTION to a TorchScript file that maps uint8 images to features",
        )
    if not Path(path).is_file():
        return None, f"no Inception weights: ABSYNTH_INCEPTION must name a file, got {path}"
    return Features(f"inception-{Path(path).stem}", _Inception(torch.jit.load(path, map_location="cpu").eval())), path


class _Inception(nn.Module):
    def __init__(self, script: nn.Module) -> None:
        super().__init__()
        self.script = script

    def forward(self, x: Tensor) -> Tensor:
        pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return self.script(pixels.expand(-1, 3, -1, -1), return_features=True)


def _shape(images: LabelledImages) -> tuple[int, int, int]:
    c, h, w = images.batch(torch.zeros(1, dtype=torch.long)).shape[1:]
    return c, h, w


def _evenly(n: int, at_most: int) -> Tensor:
    count = min(n, at_most)
    return torch.arange(count) * n // count


def _fingerprint(images: LabelledImages, labels: Tensor) -> str:
    """Of all labels and up to 1,000 evenly spaced images at 8 bits: enough to tell another set of the same name."""
    digest = hashlib.sha256(labels.numpy().tobytes())
    pixels = images.batch(_evenly(len(labels), 1000)).cpu()
    digest.update(((pixels + 1) * 127.5).round().to(torch.uint8).contiguous().numpy().tobytes())
    return digest.hexdigest()


def _build(shape: tuple[int, int, int], classes: int, seed: int) -> LeNet:
    with torch.random.fork_rng(devices=[]):  # initializers know the global generator only, which must stay as it was
        torch.default_generator.manual_seed(seed)
        return LeNet(shape, classes)


def _train(
    images: LabelledImages, labels: Tensor, shape: tuple[int, int, int], classes: int, seed: int
) -> tuple[LeNet, float, int]:
    rng = stream(seed)
    order = torch.randperm(len(labels), generator=rng)
    held_out, order = order[: len(order) // 10], order[len(order) // 10 :][:_EXAMPLES]
    net = _build(shape, classes, seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=_RATE)
    with torch.enable_grad():
        for _ in range(_EPOCHS):
            for index in order[torch.randperm(len(order), generator=rng)].split(_BATCH):
                loss = nn.functional.cross_entropy(net(images.batch(index).float().cpu()), labels[index])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    with torch.no_grad():
        parts = held_out[:_EXAMPLES].split(_BATCH)
        right = sum((net(images.batch(i).float().cpu()).argmax(1) == labels[i]).sum().item() for i in parts)
    return net, right / len(held_out[:_EXAMPLES]), len(order)
