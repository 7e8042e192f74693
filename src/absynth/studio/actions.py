"""What each control of the page does, without a browser: numbers and texts in, HTML out.

An action that takes a while is a generator of ever newer answers. The last text of each answer is one line on how it
stands.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from absynth import pictures
from absynth.errors import InputError
from absynth.report import html
from absynth.results import number
from absynth.studio import answers, chains, show
from absynth.studio.chains import Frame, Profile
from absynth.studio.models import Catalogue
from absynth.tasks.opened import Opened

PAINTED = "what I painted"
PARTS = (PAINTED, "the middle", "the left half", "the lower half")
"""Parts of an image that can be filled."""

EDITOR = 336
"""Pixels of a side of the picture that is painted on, about."""


class Actions:
    """The actions of the page on a catalogue of models.

    Args:
        catalogue: The models.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._guide = answers.Guide()

    def sample(
        self, name: str, n: int, label: int, step: float, temperature: float, steps: int, seed: int
    ) -> Iterator[tuple[str, str, str]]:
        """Samples along a chain, curves, and the step; arguments as of :func:`absynth.studio.chains.sample`."""
        opened, begun = self.catalogue.open(name), time.monotonic()
        steps = 0 if steps == chain_length(opened) else steps
        frames = chains.sample(opened, n, label=label, step=step, temperature=temperature, steps=steps, seed=seed)
        yield from self._frames(opened, frames, f"{n} samples of {name}", begun)

    def mix(
        self, name: str, other: str, weights: tuple[float, float], n: int, step: float, steps: int, seed: int
    ) -> Iterator[tuple[str, str, str]]:
        """The same of the product of two models; arguments as of :func:`absynth.studio.chains.mix`."""
        opened, begun = self.catalogue.open(name), time.monotonic()
        steps = 0 if steps == chain_length(opened) else steps
        frames = chains.mix(opened, self.catalogue.open(other), weights, n, step=step, steps=steps, seed=seed)
        said = f"{n} samples of {name}^{weights[0]:g} × {other}^{weights[1]:g}"
        yield from self._frames(opened, frames, said, begun)

    def _frames(
        self, opened: Opened, frames: Iterator[Frame], caption: str, begun: float
    ) -> Iterator[tuple[str, str, str]]:
        last_only = opened.data.kind != "image"  # drawing the others takes longer than a look lasts
        for frame in frames:
            done = frame.step == frame.steps
            seconds = time.monotonic() - begun
            said = f"step {frame.step} of {frame.steps}" if frame.steps else "no chain: the generator draws"
            shown = "" if last_only and not done else show.examples(opened.data, frame.x, f"{caption}, {said}")
            curves = "" if frame.profile is None else profile_curves(frame.profile)
            yield shown, curves, f"{said}, {seconds:.1f} s" + ("" if done else " …")

    # Images ----------------------------------------------------------------------------------------------------------

    def examples(self, name: str) -> str:
        """The images of a model to choose from, numbered."""
        return show.numbered(self.catalogue.examples(name))

    def example(self, name: str, number_: int) -> Image.Image:
        """One of them, from 1, at a size to paint on."""
        x = self._chosen(name, number_)
        scale = max(1, EDITOR // max(x.shape[1:]))
        return Image.open(io.BytesIO(pictures.png(x[None], scale=scale)))

    def _chosen(self, name: str, number_: int) -> Tensor:
        examples = self.catalogue.examples(name)
        if not 1 <= number_ <= len(examples):
            raise InputError(f"expected the number of one of {len(examples)} images, got {number_}")
        return examples[number_ - 1]

    def fill(
        self,
        name: str,
        image: Image.Image | None,
        paint: Image.Image | None,
        part: str,
        n: int,
        steps: int,
        seed: int,
    ) -> Iterator[tuple[str, str]]:
        """Draws of an image whose part is hidden; arguments as of :func:`absynth.studio.chains.fill`.

        Args:
            name: The model.
            image: The image, of any size.
            paint: What was painted over it, opaque where the image is to be filled; of any size.
            part: One of :data:`PARTS`.
            n: Number of draws.
            steps: Length of the chain; 0 is as in training.
            seed: Seed of the noise.
        """
        opened, begun = self.catalogue.open(name), time.monotonic()
        opened.require_kind("image")
        if image is None:
            raise InputError("expected an image, got none: choose a number, or drop an image")
        x = read_image(opened, image)
        hole = find_hole(part, paint, x.shape[1], x.shape[2])
        for frame in chains.fill(opened, x, hole, n, steps=steps, seed=seed):
            seen = torch.cat([torch.where(hole, -1.0, x)[None], frame.x])
            done = frame.steps > 0
            said = f"The image as it was seen, and {n} draws of what is hidden"
            shown = show.examples(opened.data, seen, said)
            yield shown, f"look {frame.step}, {time.monotonic() - begun:.1f} s" + ("" if done else " …")

    def walk(self, name: str, first: int, second: int, points: int, seed: int) -> tuple[str, str]:
        """Images on the way between two of the numbered ones; as :func:`absynth.studio.chains.walk`."""
        opened = self.catalogue.open(name)
        opened.require_kind("image")
        ends = self._chosen(name, first), self._chosen(name, second)
        found, said = chains.walk(opened, self.catalogue.examples(name), first - 1, second - 1, points, seed=seed)
        caption = f"From image {first} to image {second}: the image, {points} points on the way, the image"
        seen = torch.cat([ends[0][None], found, ends[1][None]])
        return show.examples(opened.data, seen, caption, columns=5), said

    # Molecules, tracks, tables, training -----------------------------------------------------------------------------

    def guide(self, name: str, wanted: str, value: float, n: int, seed: int) -> tuple[str, str]:
        """Molecules near a value of a property."""
        opened = self.catalogue.open(name)
        opened.require_kind("smiles")
        found = self._guide(opened, wanted, value, n, seed=seed)
        shown = show.picture(found.sheet, f"Molecules guided to {wanted} {value:g}") if found.sheet else ""
        rows = list(zip(found.guided, found.free))
        shown += html.table("Molecules as generated, valid or not", ["guided", "without guidance"], rows)
        return shown, (
            f"mean {wanted} {number(found.mean)}, without guidance {number(found.mean_free)}; {found.validity:.0%} of "
            f"{n} are valid; the head that guides explains {found.head.explained:.0%} of the variance of {wanted}"
        )

    def scene(self, name: str, text: str) -> Image.Image:
        """The scene with the points that were given so far."""
        return answers.draw_scene(answers.scene_of(self.catalogue.open(name)), answers.read_points(text))

    def add_point(self, name: str, text: str, across: float, down: float) -> str:
        """The points as text, with the one at a pixel of the scene."""
        x, y = answers.scene_of(self.catalogue.open(name)).position(across, down)
        return "; ".join([*(f"{a:g}, {b:g}" for a, b in answers.read_points(text)), f"{x:g}, {y:g}"])

    def futures(self, name: str, text: str, k: int, seed: int) -> tuple[Image.Image, str]:
        """Futures of a past, drawn."""
        opened = self.catalogue.open(name)
        opened.require_kind("tracks")
        points = answers.read_points(text)
        past, paths = answers.futures(opened, points, k, seed=seed)
        picture = answers.draw_scene(answers.scene_of(opened), points, past, paths)
        ends = paths[:, -1]
        centre, spread = ends.mean(0).tolist(), float((ends - ends.mean(0)).norm(dim=1).mean())
        return picture, (
            f"{k} futures of {paths.shape[1]} positions; on average they end at {centre[0]:.2f}, {centre[1]:.2f}, "
            f"{number(spread)} from it"
        )

    def anomalies(self, name: str, file: str, contamination: float, folder: Path) -> tuple[str, Path, str]:
        """The most anomalous rows of a table, a file with the scores of all, and how many are outliers."""
        opened = self.catalogue.open(name)
        found = answers.anomalies(opened, file, contamination, seed=0)
        columns = ["row", "score", ""] + ([] if found.parts is None else ["columns that explain it"])
        written = folder / "scores.csv"
        found.save(written)
        shown = html.table("The most anomalous rows, with what each column adds to the energy", columns, found.rows())
        outliers = int((found.scores > found.threshold).sum())
        said = f"{outliers} of {len(found.names)} rows score above {number(found.threshold)}; {found.note}"
        return shown, written, said

    def training(self, name: str) -> tuple[str, str]:
        """A run's curves so far, and where it stands."""
        said, curves = answers.training(self.catalogue.path(name))
        return curves, said


def chain_length(opened: Opened) -> int:
    """Steps of the chain for a sample as trained; 0 where there is no chain."""
    try:
        chain = opened.model.chain(None if not opened.conditional else opened.conditions(1))
    except InputError:
        return 0
    return chain.rounds * chain.steps


def profile_curves(profile: Profile) -> str:
    """Energy and acceptance, or step, along a chain."""
    name = "acceptance" if profile.acceptance else "root mean square of a step, per coordinate"
    return show.curves(
        "Energy, mean and 10–90 % of the chains",
        {"energy": (profile.steps, profile.energy)},
        band=(profile.steps, profile.low, profile.high),
    ) + show.curves(name.capitalize(), {name.split(",")[0]: (profile.steps[-len(profile.moves) :], profile.moves)})


def read_image(opened: Opened, image: Image.Image) -> Float[Tensor, "c h w"]:
    """An image of any size as the model takes it, read as ``--input`` is."""
    *_, height, width = opened.data.shape
    if image.width % width == 0 and image.height % height == 0:  # enlarged by :meth:`Actions.example`: undone exactly
        image = image.resize((width, height), Image.Resampling.BOX)
    with tempfile.TemporaryDirectory() as place:
        image.convert("RGB").save(Path(place) / "image.png")
        return opened.recipe.model_inputs(opened.data.parse(Path(place)))[0]


def find_hole(part: str, paint: Image.Image | None, height: int, width: int) -> Bool[Tensor, "1 h w"]:
    """True where an image is to be filled.

    Args:
        part: One of :data:`PARTS`.
        paint: What was painted over the image, in a layer of its own.
        height, width: Of the image in pixels.

    Raises:
        InputError: Nothing is to be filled, or everything.
    """
    if part not in PARTS:
        raise InputError(f"expected a part of the image, one of {', '.join(PARTS)}, got {part!r}")
    hole = torch.zeros(1, height, width, dtype=torch.bool)
    if part == "the middle":
        hole[:, height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    elif part == "the left half":
        hole[..., : width // 2] = True
    elif part == "the lower half":
        hole[:, height // 2 :] = True
    elif paint is not None:
        alpha = paint.convert("RGBA").getchannel("A").resize((width, height), Image.Resampling.BOX)
        hole = (torch.frombuffer(bytearray(alpha.tobytes()), dtype=torch.uint8) > 64).view(1, height, width)
    if not hole.any() or hole.all():
        what = "nothing" if not hole.any() else "all of it"
        raise InputError(f"expected paint over a part of the image, got {what}: paint over what is to be filled")
    return hole
