"""Anomaly detection: the score of x is −log p_θ(x, z) at posterior draws of z (Pang et al. 2020, section 4.4), or
−log p_θ(x) / T where the density is one of the data and its chains were run at temperature T; a model that has an
``anomaly_score`` of its own is ranked by that.

Published tables of this task mix protocols. Ours, printed with every figure: one class held out; 80 % of all other
pictures train, the other 20 % and all of the held-out class are the test set; the split is fixed, no test picture was
trained on, the model is the last one, and the base rate stands beside the AUPRC (which it bounds from below).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.algorithms import LatentPrior
from absynth.metrics.ranking import detection, pca_reconstruction_error, precision_recall
from absynth.report import Picture, TaskResult
from absynth.seeding import stream
from absynth.tasks.opened import Chain, in_chunks, open_run, result


def anomaly_scores(
    model: LatentPrior, x: Float[Tensor, "n *event"], *, steps: int, seed: int, batch: int, device: torch.device | str
) -> dict[str, Float[Tensor, "n"]]:
    """Scores, higher is more anomalous: ``joint`` −log p(x, z), and its two parts ``generator`` and ``prior``.

    Args:
        model: a trained latent EBM prior.
        x: pictures.
        steps: length of the posterior's chain.
        seed: of the noise; a chunk's noise follows from where it begins.
        batch: pictures at once.
        device: where the model is.
    """
    sampler = replace(model.posterior_sampler, steps=steps)  # type: ignore[type-var]
    prior = model.prior()
    parts: dict[str, list[Tensor]] = {"generator": [], "prior": []}
    for start, part in in_chunks(x, batch):
        part, rng = part.to(device), stream(seed, 0, start, device=device)
        z = sampler(model.log_joint(part), prior.reference.sample(len(part), rng), rng=rng)
        with torch.no_grad():
            parts["generator"].append(-model.generator(z).log_prob(part).cpu())
            parts["prior"].append(prior.energy(z).cpu())
    scores = {name: torch.cat(values) for name, values in parts.items()}
    return {"joint": scores["generator"] + scores["prior"], **scores}


def density_scores(
    chain: Chain, x: Float[Tensor, "n *event"], *, batch: int, device: torch.device | str
) -> Float[Tensor, "n"]:
    """−log p(x) / T up to a constant, T the temperature that was sampled at; higher is more anomalous.

    Where the chain ends without noise T is 0 and the score is −f: its order alone has a meaning.
    """
    score = chain.tempered if chain.temperature else chain.density.log_density
    with torch.no_grad():
        return torch.cat([-score(part.to(device)).cpu() for _, part in in_chunks(x, batch)])


def command(
    run: Path, images: str = "", steps: int = 60, n: int = 0, seed: int = 0, batch: int = 500, device: str = "auto"
) -> TaskResult:
    """Score pictures for being anomalous; with a run trained by --anomaly, precision and recall too.

    Args:
        run: directory of a trained run.
        images: your own pictures (folder, .npz, .npy) to score; empty: the test set of the run's held-out class.
        steps: length of the posterior's chain, fixed beforehand; a density of the data needs none.
        n: at most so many pictures, taken evenly; 0: all.
        seed: of the noise.
        batch: pictures at once.
        device: auto, cpu, cuda.
    """
    opened = open_run(run, device)
    own = getattr(opened.model, "anomaly_score", None)  # a model with a score of its own needs no chain
    chain = opened.chain() if own is None else None
    folder = opened.folder("detect")
    data = opened.pictures(images)
    rows = torch.arange(len(data)) if not n else torch.linspace(0, len(data) - 1, min(n, len(data))).long()
    x = data.batch(rows)
    if chain is None:
        assert own is not None
        named = {"the model's own score": torch.cat([own(p.to(opened.device)).cpu() for _, p in in_chunks(x, batch)])}
        how = "No chain, and no noise."
    elif opened.is_latent:
        parts = anomaly_scores(opened.latent(), x, steps=steps, seed=seed, batch=batch, device=opened.device)
        named = {
            "−log p(x, z)": parts["joint"],
            "generator's part alone": parts["generator"],
            "prior's part alone": parts["prior"],
        }
        how = f"Posterior chains of {steps} steps."
    else:
        named = {"−log p(x)": density_scores(chain, x, batch=batch, device=opened.device)}
        how = (
            f"In units of the temperature that the run samples at, {chain.temperature:g}, and up to a constant."
            if chain.temperature
            else "The run's chain ends without noise, so the score is −f and its order alone has a meaning."
        )
    ours_by, score = next(iter(named.items()))
    order = score.argsort(descending=True)
    pictures.grid(torch.cat([x[order[-20:]].flip(0), x[order[:20]]]), folder / "extremes.png", columns=20)
    lines = ["index,score"] + [f"{int(i)},{s:.6g}" for i, s in zip(rows, score.tolist())]
    (folder / "scores.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    shown: Picture = {
        "file": "extremes.png",
        "caption": "The 20 most usual pictures above, the 20 most anomalous below",
    }
    held_out: int = getattr(opened.recipe, "anomaly", -1)
    if images or held_out < 0 or data.labels is None:
        text = f"Score {ours_by} of each picture, higher is more anomalous: scores.csv has them all. {how}"
        found = result("detect", "Anomaly scores", seed, text)
        pictures.histogram(folder / "scores.png", {data.name: score}, ours_by)
        found.pictures.extend([{"file": "scores.png", "caption": "Scores"}, shown])
        found.figures |= {"pictures": len(x), "median score": float(score.median())}
        found.save(folder)
        return found
    anomaly = data.labels[rows] == held_out
    train = opened.images("train").all().flatten(1)
    named |= {f"PCA-{q}": pca_reconstruction_error(train, x.flatten(1), q) for q in (8, 32) if q < train.shape[1]}
    found_by = {name: detection(s, anomaly) for name, s in named.items()}
    ours = found_by[ours_by]
    text = (
        f"Label {held_out} held out. Training: 80 % of all other pictures. Test: the other 20 % "
        f"({ours.n_normal}) and all of the held-out label ({ours.n_anomaly}), so the base rate is "
        f"{ours.base_rate:.3f}, the AUPRC of chance. Split fixed, last model, "
        f"anomaly is the positive class, higher score is more anomalous. {how}"
    )
    found = result("detect", f"Anomaly detection, label {held_out} held out", seed, text)
    curves = {}
    for name, s in named.items():
        precision, recall = precision_recall(s, anomaly)
        curves[name] = (recall, precision)
    pictures.precision_recall(
        folder / "precision_recall.png",
        curves,
        ours.base_rate,
    )
    found.pictures.extend([{"file": "precision_recall.png", "caption": "Precision against recall"}, shown])
    found.figures |= {"AUPRC": ours.auprc, "AUROC": ours.auroc, "base rate": ours.base_rate}
    others = {name: d for name, d in found_by.items() if d is not ours}
    found.baselines["AUPRC"] = {name: d.auprc for name, d in others.items()}
    found.baselines["AUROC"] = {name: d.auroc for name, d in others.items()}
    found.save(folder)
    return found
