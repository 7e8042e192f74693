"""How photos of facades are judged: classes of colours, labels read again, features of photo and labels together."""

from __future__ import annotations

import torch

from absynth.experiments.facades import PALETTE, WALL, classes_of, joint_features, share_of_labels, train_label_net
from absynth.metrics.frechet import frechet
from absynth.seeding import stream


def label_maps(classes):
    """Label maps in [−1, 1] of the colours of classes ``[n, h, w]``."""
    return (torch.tensor(PALETTE).float() / 127.5 - 1)[classes].movedim(-1, 1)


def halves(n):
    """Label maps of 16×16 whose left or right half is wall, the other one class 7."""
    wall_left = torch.arange(n) % 2 == 0
    left = torch.arange(16) < 8
    return torch.where((wall_left[:, None, None] == left).expand(n, 16, 16), WALL, 7)


def test_colours_are_read_as_their_class_through_the_noise_of_compression():
    classes = torch.arange(len(PALETTE)).repeat(12, 1)[None]
    noise = 0.08 * torch.randn(1, 3, 12, 12, generator=stream(0))
    assert torch.equal(classes_of(label_maps(classes) + noise), classes)


def test_labels_are_read_from_photos_that_show_them_and_not_from_others():
    classes = halves(64)
    c = label_maps(classes)
    x = (classes == WALL).float()[:, None].expand(-1, 3, -1, -1) - 0.5  # a light wall
    net = train_label_net(x, c, updates=25)
    assert share_of_labels(net, x, c) > 0.9
    assert share_of_labels(net, x.flip(3), c) < 0.2


def test_joint_features_tell_pairs_from_the_same_photos_with_others_labels():
    classes = halves(64)
    c = label_maps(classes)
    x = (classes == WALL).float()[:, None] - 0.5 + 0.1 * torch.randn(64, 3, 16, 16, generator=stream(1))
    net = train_label_net(x, c, updates=1)
    real = joint_features(net, x, c)
    assert real.shape == (64, 64)
    right, wrong = frechet(joint_features(net, x[:32], c[:32]), real), frechet(joint_features(net, x.flip(3), c), real)
    assert wrong > 10 * right
    # With the wall where the rest was, the two halves of the features change places.
    turned = joint_features(net, x, label_maps(torch.where(classes == WALL, 7, WALL)))
    torch.testing.assert_close(turned, torch.cat([real[:, 32:], real[:, :32]], 1))
