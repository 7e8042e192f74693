"""The linear dynamic texture finds the law that made a clip, and keeps it at any length."""

from __future__ import annotations

import pytest
import torch
from laws import covariance_is, mean_is

from absynth.dynamic_texture import LinearDynamics
from absynth.errors import Unsupported
from absynth.seeding import Streams, stream

STEP = torch.tensor([[0.9, 0.2], [-0.2, 0.7]])


def made(frames: int = 6000) -> tuple[torch.Tensor, torch.Tensor]:
    """A clip of two moving patterns about a mean, and the patterns."""
    rng = stream(0)
    patterns = torch.linalg.qr(torch.randn(16, 2, generator=rng)).Q.T
    z, states = torch.zeros(2), []
    for _ in range(frames):
        z = z @ STEP + 0.3 * torch.randn(2, generator=rng)
        states.append(z)
    return (0.5 + torch.stack(states) @ patterns).T.view(1, 4, 4, frames).permute(0, 3, 1, 2), patterns


def test_the_fit_finds_the_law():
    clip, _ = made()
    law = LinearDynamics((1, 10, 4, 4), 2).fit([clip])
    # A is found up to the rotation that the components leave open: its eigenvalues and the law's own statistics.
    found, truth = (torch.linalg.eigvals(a).abs().sort().values for a in (law.step, STEP))
    assert torch.allclose(found, truth, atol=0.03)
    assert float(law.scale) < 1e-3  # two components are all there is
    x = law.with_frames(3000).sample(2, stream(1))
    for y in (x[:, :, :1000], x[:, :, -1000:]):  # the same at both ends
        assert torch.allclose(y.var(2).mean((0, 1)), clip.var(1)[0], atol=0.12)
    lagged = ((x[:, :, 1:] - 0.5) * (x[:, :, :-1] - 0.5)).mean()
    truth = ((clip[:, 1:] - 0.5) * (clip[:, :-1] - 0.5)).mean()
    assert float(lagged / truth) == pytest.approx(1, abs=0.15)
    shuffled = clip[:, torch.randperm(6000, generator=stream(2))]
    assert float(LinearDynamics((1, 10, 4, 4), 2).fit([shuffled]).step.abs().max()) < 0.1


def test_what_the_components_leave_out_is_noise_of_the_same_size():
    clip, _ = made(400)
    noisy = clip + 0.2 * torch.randn(clip.shape, generator=stream(3))
    law = LinearDynamics((1, 10, 4, 4), 2).fit([noisy])
    assert float(law.scale) == pytest.approx(0.2 * (14 / 16) ** 0.5, rel=0.05)
    given = LinearDynamics((1, 10, 4, 4), 2, 0.05).fit([noisy])
    assert float(given.scale) == pytest.approx(0.05)
    still = LinearDynamics((1, 10, 4, 4), 0, 0.01).fit([clip])
    x = still.sample(3, stream(4))
    assert torch.allclose(x.mean((0, 2)), clip.mean(1), atol=0.02)


def test_draws_follow_rows_and_come_back_from_a_state():
    clip, _ = made(50)
    law = LinearDynamics((1, 8, 4, 4), 5).fit([clip])  # more components than the clip has
    again = LinearDynamics((1, 8, 4, 4), 5)
    again.load_state_dict(law.state_dict())
    x = law.sample(4, Streams(7, range(4)))
    assert torch.equal(again.sample(4, Streams(7, range(4))), x)
    assert torch.allclose(law.sample(2, Streams(7, range(2, 4))), x[2:], atol=1e-6)
    with pytest.raises(Unsupported, match="another start"):
        law.log_prob(x)


def test_clips_given_a_part_follow_the_conditional_gaussian():
    clip, _ = made(400)
    noisy = clip[..., :2, :2] + 0.2 * torch.randn(1, 400, 2, 2, generator=stream(5))
    law, rng, n = LinearDynamics((1, 4, 2, 2), 2).fit([noisy]), stream(6), 4000
    known = torch.rand(1, 4, 2, 2, generator=rng) < 0.5
    known[:, 1] = False  # a frame of which nothing is seen
    step, c = law.step.double(), law.components.flatten(1).double()
    lead = [law.first.double() @ law.first.double().T]
    for _ in range(3):
        lead.append(step.T @ lead[-1] @ step + law.innovation.double() @ law.innovation.double().T)
    joint = torch.cat([
        torch.cat([(c.T @ (torch.matrix_power(step.T, max(s - t, 0)) @ lead[min(s, t)]
                           @ torch.matrix_power(step, max(t - s, 0))) @ c) for t in range(4)], 1)
        for s in range(4)
    ])  # fmt: skip
    joint = joint + float(law.scale) ** 2 * torch.eye(16)
    mean = law.mean.flatten().double().repeat(4)
    seen = known.flatten()
    y = law.sample(1, rng)
    gain = torch.linalg.solve(joint[seen][:, seen], joint[seen][:, ~seen]).T
    rest = mean[~seen] + gain @ (y.flatten()[seen].double() - mean[seen])
    covariance = joint[~seen][:, ~seen] - gain @ joint[seen][:, ~seen]
    x = law.given(lambda v: torch.where(known, y, v), n, rng).flatten(1)
    assert torch.equal(x[:, seen], y.flatten()[seen].expand(n, -1))
    mean_is(x[:, ~seen].double(), rest)
    covariance_is(x[:, ~seen].double() - rest, covariance)
    free = law.sample(n, rng).flatten(1)[:, ~seen].double()
    with pytest.raises(AssertionError):  # without the observation
        mean_is(free, rest)
