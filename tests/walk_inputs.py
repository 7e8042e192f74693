"""The files that a newcomer has: small ones under the names that the documents print."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)
MOLECULES = ("CCO", "c1ccccc1O", "CC(=O)N", "CCN", "CC(C)O", "c1ccncc1", "CCOC", "NCC(=O)O")
RUNS = {
    "runs/mine": "latent_prior --data digits", "runs/other": "maximum_likelihood --data digits",
    "runs/ANY_RUN": "maximum_likelihood --data mnist", "runs/tracks": "latent_prior --data tracks.txt",
    "runs/cooperative": "cooperative --data mnist", "runs/photos": "latent_prior --data ./photos --size 32",
}  # fmt: skip
"""Runs that a page takes for granted, and how they are made."""
DYNAMICS = """
import torch


class Sled:
    controls = 1

    def __init__(self, interval):
        self.interval = interval

    def state(self, position, velocity):
        return torch.cat([position, velocity], -1)

    def step(self, state, control):
        return torch.cat([state[..., :2] + self.interval * state[..., 2:] * (1 + control), state[..., 2:]], -1)

    def position(self, state):
        return state[..., :2]

    def velocity(self, state):
        return state[..., 2:]
"""
"""mine.py: a sled whose speed alone is steered."""


def images(folder: Path, names: dict[str, int], side: int = 32) -> None:
    """Blobs of a colour for each class."""
    for k, (name, n) in enumerate(names.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            rows, columns = np.mgrid[:side, :side]
            blob = np.exp(-((rows - 5 - i % 20) ** 2 + (columns - 10 - i % 15) ** 2) / 50)
            x = blob[..., None] * np.roll([220, 120, 40], k) + RNG.uniform(0, 30, (side, side, 3))
            Image.fromarray(x.astype(np.uint8)).save(folder / name / f"{i:03d}.png")


def texture(path: Path, height: int, width: int) -> None:
    """One image with stripes."""
    rows, columns = np.mgrid[:height, :width]
    x = 127 + 80 * np.sin(rows / 5)[..., None] * np.cos(columns[..., None] / np.array([7, 9, 11]))
    Image.fromarray((x + RNG.uniform(0, 40, x.shape)).clip(0, 255).astype(np.uint8)).save(path)


def table(path: Path, rows: int, gaps: bool = False) -> None:
    """Numbers, words and a class."""
    lines = ["length,width,colour,class,species"]
    for i in range(rows):
        kind = "ab"[i % 2]
        length = "" if gaps and i % 9 == 0 else f"{RNG.normal(4 + 2 * (kind == 'b')):.3f}"
        lines.append(f"{length},{RNG.normal(1):.3f},{('red', 'blue', 'green')[i % 3]},{kind},{kind}")
    path.write_text("\n".join(lines) + "\n")


def tracks(path: Path, header: str, separator: str) -> None:
    """Agents that walk on bent lines."""
    lines = [header] if header else []
    for t in range(80):
        for agent in range(6):
            x, y = 0.4 * t + agent, 0.8 * agent + math.sin(t / 9 + agent)
            lines.append(separator.join(f"{v:g}" for v in (t, agent, x, y)))
    path.write_text("\n".join(lines) + "\n")


def make(folder: Path) -> None:
    """All of them."""
    images(folder / "photos", {"cat": 40, "dog": 40})
    shutil.copytree(folder / "photos", folder / "elsewhere")  # data that moved
    images(folder / "horses", {"": 40})
    images(folder / "zebras", {"": 40})
    for name in ("wall.png", "photo.jpg", "pasted.png"):
        texture(folder / name, 96, 128)
    wall = np.asarray(Image.open(folder / "wall.png").resize((64, 48)))
    frames = [Image.fromarray(np.roll(wall, k, 1)) for k in range(64)]
    frames[0].save(folder / "clip.gif", save_all=True, append_images=frames[1:])
    table(folder / "rows.csv", 300)
    for name in ("new_rows.csv", "new.csv", "table.csv"):
        table(folder / name, 200)
    words = [["the", "a"], ["cat", "dog", "bird"], ["sat", "ran", "slept"], ["on", "near"], ["mat", "hill", "road"]]
    (folder / "lines.txt").write_text("\n".join(" ".join(RNG.choice(word) for word in words) for _ in range(500)))
    (folder / "molecules.smi").write_text("\n".join(RNG.choice(MOLECULES, 400)))
    tracks(folder / "tracks.txt", "", " ")
    tracks(folder / "tracks.csv", "frame,agent,x,y", ",")
    (folder / "mine.py").write_text(DYNAMICS)
    clouds = RNG.normal(size=(60, 200, 3))
    np.save(folder / "clouds.npy", clouds / np.linalg.norm(clouds, axis=2, keepdims=True))
    shapes = np.zeros((48, 32, 32, 32), np.uint8)
    for i in range(len(shapes)):
        shapes[i, 4:28, 6 : 10 + i % 16, 8:20] = 1
    for name, values in (("clouds", clouds[:40]), ("shapes", shapes)):
        (folder / name).mkdir()
        for i, each in enumerate(values):
            np.save(folder / name / f"{i:02d}.npy", each)
    (folder / "shards").mkdir()
    for k in range(3):
        np.save(folder / "shards" / f"x-{k:03d}.npy", RNG.integers(0, 256, (30, 28, 28), dtype=np.uint8))
