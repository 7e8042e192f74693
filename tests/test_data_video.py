"""Clips are read from every form they come in, cut without leaks, and refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from absynth import recipes
from absynth.data import sets
from absynth.data.clip_set import ClipSet
from absynth.data.clips import write_film
from absynth.errors import InputError


def moving_bar(frames: int = 24, side: int = 16, channels: int = 3) -> np.ndarray:
    """A bright bar that moves by a pixel per frame, bytes ``[t, h, w, c]``."""
    x = np.full((frames, side, side, channels), 40, np.uint8)
    for t in range(frames):
        x[t, :, t % side] = (200, 120, 80)[:channels]
    return x


def save_gif(x: np.ndarray, path, milliseconds: int = 100):
    pictures = [Image.fromarray(frame) for frame in x]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0)
    return path


def refused(call, *words: str) -> None:
    """The error is one line with these words."""
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_every_form_of_a_clip_is_the_same_clip(tmp_path):
    x = moving_bar()
    np.savez(tmp_path / "clip.npz", frames=x)
    frames = tmp_path / "frames"
    frames.mkdir()
    for t, frame in enumerate(x):
        Image.fromarray(frame).save(frames / f"{t}.png")  # 10 comes after 9, without zeros in front
    truth = sets.open(x, kind="video", frames=8).all()
    assert truth.shape == (9, 3, 8, 16, 16)
    assert torch.equal(truth[0, :, :, 0, 1] > 0, torch.tensor(x[:8, 0, 1] > 127).T)
    gif = sets.open(save_gif(x, tmp_path / "clip.gif"), frames=8)
    assert gif.rate == 10
    assert torch.equal(gif.all(), truth)
    for path, kind in ((tmp_path / "clip.npz", ""), (frames, "video")):
        assert torch.equal(sets.open(path, kind=kind, frames=8).all(), truth)


def test_films_are_written_and_read(tmp_path):
    pytest.importorskip("av")
    x = torch.from_numpy(moving_bar(side=32)).permute(3, 0, 1, 2).float() / 127.5 - 1
    write_film(x, tmp_path / "clip.mp4", 12.0)
    back = sets.open(tmp_path / "clip.mp4", frames=8)
    assert back.kind == "video"
    assert back.rate == 12
    whole = torch.cat([back.whole(), back.split("test").whole()], 1)
    assert whole.shape == x.shape
    error, other = ((whole - y).abs().mean() for y in (x, x.roll(4, 3)))
    assert float(error) < 0.5 * float(other)  # the codec loses a little of a thin bar; another clip would not pass


def test_kinds_are_found(tmp_path):
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 255, (3, 20, 12, 12), dtype=np.uint8)
    assert sets.kind_before_reading(clips) == "video"
    assert sets.kind_before_reading(rng.integers(0, 255, (5, 12, 12, 3), dtype=np.uint8)) == "image"
    np.savez(tmp_path / "a.npz", frames=moving_bar())
    assert sets.kind_before_reading(tmp_path / "a.npz") == "video"
    folder = tmp_path / "gifs"
    folder.mkdir()
    for i in range(3):
        save_gif(moving_bar(), folder / f"{i}.gif")
    assert sets.kind_before_reading(folder) == "video"
    Image.fromarray(moving_bar()[0]).save(tmp_path / "still.gif")
    assert sets.kind_before_reading(tmp_path / "still.gif") == "picture"
    found = sets.open(folder, frames=8)
    assert len(found.clips) == 2
    assert len(found.split("test").clips) == 1


def test_no_window_of_training_reaches_into_the_test_part():
    x = np.arange(60, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2).copy()
    data = sets.open(x, kind="video", frames=8, validation=0.2)
    numbers = {part: set(((data.split(part).all() + 1) * 127.5).round().int().unique().tolist()) for part in
               ("train", "validation", "test")}  # fmt: skip
    assert not numbers["train"] & numbers["test"]
    assert not numbers["train"] & numbers["validation"]
    assert float(data.split("test").whole().max()) == pytest.approx(59 / 127.5 - 1)
    assert len(data) == len(numbers["train"]) - 7


def test_what_is_hidden_of_a_frame_is_hidden_in_every_window(tmp_path):
    np.savez(tmp_path / "a.npz", frames=moving_bar())
    for kind, share in (("pixels", 0.5), ("frames", 0.5), ("block", 0.25)):
        recipe = recipes.build(
            "maximum_likelihood", str(tmp_path / "a.npz"), tiny=True, missing=share, missing_kind=kind, batch=8
        )
        seen: dict[int, torch.Tensor] = {}
        for _, batch in zip(range(4), recipe.batches()):
            assert torch.equal(batch.x, batch.x * batch.mask)
            for k, mask in zip(batch.index.tolist(), batch.mask):
                for frame in range(8):
                    known = seen.setdefault(recipe.examples.windows[k][1] + frame, mask[:, frame])
                    assert torch.equal(known, mask[:, frame])
        hidden = 1 - float(torch.stack(list(seen.values())).mean())
        assert abs(hidden - share) < 0.12, kind


def test_a_run_knows_its_clips_again(tmp_path):
    data = sets.open(save_gif(moving_bar(), tmp_path / "a.gif"))
    again = sets.empty(data.description())
    assert isinstance(again, ClipSet)
    assert again.shape == data.shape == (3, 8, 16, 16)
    assert again.rate == data.rate
    assert sets.open(tmp_path / "a.gif", limit=3).fingerprint != data.fingerprint
    shown = again.show(data.all()[:3], tmp_path / "s.png")
    compared = again.compare({"a": data.all()[:2], "b": data.all()[:2]}, tmp_path / "c.png")
    for one in shown + compared:
        assert Image.open(tmp_path / one["file"]).size[0] > 40
    assert Image.open(tmp_path / "s.gif").n_frames == 8
    assert torch.equal(data.parse(tmp_path / "a.gif")[1], data.batch(torch.tensor([8])).x[0])


def test_bad_clips_are_refused_in_one_line(tmp_path):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    save_gif(moving_bar(side=16), mixed / "a.gif")
    save_gif(moving_bar(side=20), mixed / "b.gif")
    refused(lambda: sets.open(mixed), "clips of one size", "16×16", "20×20", "size")
    assert sets.open(mixed, size=16).shape[-1] == 16
    for i, frame in enumerate([*moving_bar(side=16), *moving_bar(side=20)]):
        (tmp_path / "frames").mkdir(exist_ok=True)
        Image.fromarray(frame).save(tmp_path / "frames" / f"{i}.png")
    refused(lambda: sets.open(tmp_path / "frames", kind="video"), "frames of one size", "16×16 and 20×20", "size")
    assert sets.open(tmp_path / "frames", kind="video", size=16).shape[-1] == 16
    rates = tmp_path / "rates"
    rates.mkdir()
    save_gif(moving_bar(), rates / "a.gif", 100)
    save_gif(moving_bar(), rates / "b.gif", 40)
    refused(lambda: sets.open(rates), "one rate", "10 frames per second", "25 in b.gif")
    refused(lambda: sets.open(save_gif(moving_bar(10), tmp_path / "short.gif")), "at least 16 frames", "got 10")
    refused(lambda: sets.open(save_gif(moving_bar(), tmp_path / "c.gif"), frames=20), "smaller frames")
    Image.fromarray(moving_bar()[0]).save(tmp_path / "still.gif")
    refused(lambda: sets.open(tmp_path / "still.gif", kind="video"), "one still image")
    (tmp_path / "broken.gif").write_bytes((tmp_path / "c.gif").read_bytes()[:300])
    refused(lambda: sets.open(tmp_path / "broken.gif", kind="video"), "broken.gif")
    (tmp_path / "broken.mp4").write_bytes(b"no film" * 50)
    refused(lambda: sets.open(tmp_path / "broken.mp4"), "broken.mp4")
    refused(lambda: sets.open(np.full((20, 8, 8, 3), np.nan), kind="video"), "finite")
    odd = np.random.default_rng(0).normal(size=(2, 9, 8, 5, 6))
    refused(lambda: sets.open(odd, kind="video"), "expected an array of clips")
