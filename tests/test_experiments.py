"""Every experiment runs from start to figures with a few updates of small networks."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from absynth import experiments, results
from absynth.experiments.harness import Run

NEEDS_DATA = not os.environ.get("ABSYNTH_DATA")
SLOW = (
    "ais", "anomaly_mnist", "chain_free_toy", "density_tables", "facades", "frame_digits",
    "guard_short_run", "image_methods_cifar10", "image_methods_mnist", "improved_contrastive_divergence",
    "imputation_tables", "information_bottleneck_yelp", "inverse_control_known", "inverse_control_ngsim",
    "latent_belief_eth_ucy", "latent_belief_sdd", "latent_prior_ablation", "latent_prior_mnist", "latent_prior_moses",
    "latent_prior_zinc", "multiscale_mnist", "one_pass_digits", "point_clouds", "ppca", "recovery_bits",
    "rivals_fashion_mnist", "rivals_mnist", "symbol_vector_text", "teaching_fashion_mnist", "teaching_ring",
    "teaching_ring_long", "teaching_ring_recipes", "translation_mnist", "voxel_recovery", "voxel_shapes",
)  # fmt: skip
"""Experiments of large data sets or long chains, which take more than three seconds however few updates they make."""
NAMES = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in experiments.names()]


@pytest.mark.parametrize("name", NAMES)
def test_tiny(name, tmp_path, tmp_path_factory):
    found = experiments.find(name)
    features = Path(os.environ.get("ABSYNTH_TEST_FEATURES", tmp_path_factory.getbasetemp() / "features"))
    run = Run(0, tmp_path / "seed_0", True, tmp_path / "images", features)
    run.folder.mkdir()
    run.images.mkdir()
    try:
        figures = found.measure(0, run)
    except Exception as error:
        if NEEDS_DATA and "ABSYNTH_DATA" in str(error):
            pytest.skip("its data set is not at hand")
        raise
    assert figures.values
    assert all(math.isfinite(value) for value in figures.values.values())
    owners = [k for k in figures.baselines if not any(k == f or k.startswith(f + "/") for f in figures.values)]
    assert not owners, f"baselines of no figure: {owners}"


def test_every_record_has_its_experiment():
    """A record whose experiment is gone could not be measured again."""
    known = set(experiments.names())
    orphans = [name for name in results.load_all(results.records_folder()) if name not in known]
    assert not orphans
