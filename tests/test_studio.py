"""The studio: what it shows is what the tasks compute, mistakes are one line, and the page answers."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import socket
import threading
import time
import urllib.request
from importlib.util import find_spec

import pytest
import torch
from PIL import Image
from torch import Tensor

from absynth import cli, released
from absynth.algorithms import Chain
from absynth.density import Density
from absynth.distributions import StandardNormal
from absynth.errors import InputError, Unsupported
from absynth.samplers import MALA, AnnealedLangevin, GibbsWithGradients, Langevin
from absynth.seeding import stream
from absynth.studio import answers, chains, server, show
from absynth.studio.actions import PARTS, Actions, find_hole, read_image
from absynth.studio.models import Catalogue
from absynth.studio.turns import Turns
from absynth.tasks.compose import compose
from absynth.tasks.inpaint import inpaint
from absynth.tasks.interpolate import interpolate
from absynth.tasks.sample import samples

DIGITS, MNIST, MOONS, RING = (
    "joint_energy/digits",
    "latent_prior/mnist",
    "noise_contrastive/moons",
    "diffusion_recovery/ring",
)
TABLE, TRACKS, MOLECULES = "detector/breast_cancer", "latent_prior/eth_ucy", "latent_prior/nci5k"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue()


def gaussian(sampler: object) -> Chain:
    """Chains on N(0, 1/4) of two coordinates."""

    def f(x: Tensor) -> Tensor:
        return -1.5 * (x**2).sum(1)

    return Chain(Density(f, StandardNormal(2)), StandardNormal(2), sampler)  # type: ignore[arg-type]


# Chains --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [MNIST, MOONS])
def test_samples_at_the_numbers_of_training_are_those_of_the_task(catalogue, name) -> None:
    opened = catalogue.open(name)
    *_, last = chains.sample(opened, 3, seed=5)
    assert torch.allclose(last.x, samples(opened.model, 3, opened.conditions(3), seed=5), atol=1e-4)
    *_, other = chains.sample(opened, 3, seed=5, step=1.5)
    assert not torch.allclose(other.x, last.x, atol=1e-2)


def test_step_and_temperature_are_multiples_of_those_of_training() -> None:
    chain = gaussian(Langevin(10, 0.1, noise_scale=0.05))
    sampler, log_density, rounds = chains.adjusted(chain, chain.density.log_density, step=2.0, temperature=4.0, steps=7)
    assert sampler == Langevin(7, 0.2, noise_scale=0.2)
    assert sampler.temperature == pytest.approx(4 * chain.temperature)  # type: ignore[attr-defined]
    assert rounds == 1
    x = torch.ones(1, 2)
    assert log_density(x) == chain.density.log_density(x)
    annealed = gaussian(AnnealedLangevin(10, 0.1, hot=10.0))
    assert chains.adjusted(annealed, annealed.density.log_density, temperature=0.5)[0] == AnnealedLangevin(
        10, 0.1, hot=5.0, cold=0.5
    )
    exact = gaussian(MALA(10, 0.5))
    sampler, log_density, _ = chains.adjusted(exact, exact.density.log_density, temperature=2.0)
    assert sampler == MALA(10, 0.5)
    assert log_density(x) == exact.density.log_density(x) / 2
    flips = gaussian(GibbsWithGradients(10))
    with pytest.raises(Unsupported, match="no step size"):
        chains.adjusted(flips, flips.density.log_density, step=2.0)
    for wrong in ({"step": 0.0}, {"temperature": -1.0}, {"steps": chains.MOST_STEPS + 1}):
        with pytest.raises(InputError, match="expected a positive step size"):
            chains.adjusted(chain, chain.density.log_density, **wrong)


def test_a_watched_chain_reports_energy_and_acceptance(rng) -> None:
    chain = gaussian(MALA(60, 0.7))
    frames = list(
        chains.watch(
            chain.sampler,
            chain.density.log_density,
            torch.zeros(400, 2),
            energy=chain.density.energy,
            generate=chain.generate,
            rounds=2,
            rng=rng,
            pause=1e9,
        )
    )
    assert [frame.step for frame in frames] == [0, 120]  # nothing between, for the pause is long
    profile = frames[-1].profile
    assert profile.steps[-1] == 120
    assert len(profile.steps) == len(profile.energy) == len(profile.moves) + 1
    assert profile.energy[-1] == pytest.approx(float(chain.density.energy(frames[-1].x).mean()), abs=1e-4)
    assert all(low <= mean <= high for low, mean, high in zip(profile.low, profile.energy, profile.high))
    assert profile.acceptance
    assert 0.5 < sum(profile.moves) / len(profile.moves) < 1
    assert float(frames[-1].x.var()) == pytest.approx(0.25, abs=0.06)


def test_without_a_test_moves_are_the_size_of_a_step(rng) -> None:
    chain = gaussian(Langevin(60, 0.1))
    *_, last = chains.watch(
        chain.sampler,
        chain.density.log_density,
        torch.zeros(400, 2),
        energy=chain.density.energy,
        generate=chain.generate,
        rng=rng,
        pause=0.0,
    )
    assert not last.profile.acceptance
    assert sum(last.profile.moves) / len(last.profile.moves) == pytest.approx(0.1, rel=0.05)


def test_a_mixture_is_what_compose_draws(catalogue) -> None:
    moons, ring = catalogue.open(MOONS), catalogue.open(RING)
    *_, last = chains.mix(moons, ring, (1.0, 0.5), 4, steps=20, seed=3)
    pair = [moons.data_chain(20), ring.data_chain()]
    assert torch.allclose(last.x, compose(pair, (1.0, 0.5), 4, seed=3, device="cpu"), atol=1e-4)
    with pytest.raises(InputError, match="expected a positive weight"):
        next(chains.mix(moons, ring, (-1.0, 0.0), 4, seed=0))
    with pytest.raises(InputError, match="one shape"):
        next(chains.mix(moons, catalogue.open(DIGITS), (1.0, 1.0), 4, seed=0))


def test_filling_is_what_inpaint_draws_and_ignores_what_is_hidden(catalogue) -> None:
    opened = catalogue.open(DIGITS)
    x = catalogue.examples(DIGITS)[0]
    hole = find_hole(PARTS[1], None, *x.shape[1:])
    frames = list(chains.fill(opened, x, hole, 2, steps=5, seed=1, pause=0.0))
    assert len(frames) > 5
    assert all(torch.equal(frame.x[:, ~hole], x[~hole].expand(2, -1)) for frame in frames)
    draws = inpaint(opened, x.expand(2, *x.shape), hole, 1, steps=5, seed=1)[0]
    assert torch.allclose(frames[-1].x, draws, atol=1e-5)
    *_, same = chains.fill(opened, torch.where(hole, 1.0, x), hole, 2, steps=5, seed=1)
    assert torch.equal(same.x, frames[-1].x)


def test_a_filling_that_nobody_watches_stops(catalogue) -> None:
    opened = catalogue.open(DIGITS)
    x = catalogue.examples(DIGITS)[0]
    before = threading.active_count()
    looks = chains.fill(opened, x, find_hole(PARTS[2], None, 8, 8), 2, steps=chains.MOST_STEPS, seed=1, pause=0.0)
    next(looks)
    assert threading.active_count() == before + 1
    looks.close()
    for _ in range(100):
        if threading.active_count() == before:
            break
        time.sleep(0.1)
    assert threading.active_count() == before


def test_a_model_that_fails_while_it_fills_says_why(catalogue, monkeypatch) -> None:
    opened = catalogue.open(DIGITS)

    def fails(*given, **named):
        raise RuntimeError("no more of this")

    monkeypatch.setattr(type(opened.model), "complete", fails)
    with pytest.raises(RuntimeError, match="no more of this"):
        list(chains.fill(opened, torch.zeros(1, 8, 8), find_hole(PARTS[2], None, 8, 8), 2, seed=1))


def test_walks(catalogue) -> None:
    opened, x = catalogue.open(MNIST), catalogue.examples(MNIST)
    path, said = chains.walk(opened, x, 0, 3, 4, seed=2)
    assert torch.equal(path, interpolate(opened.model, x[:1], x[3:4], 4, rng=stream(2))[:, 0])
    assert "latent" in said
    digits, x = catalogue.open(DIGITS), catalogue.examples(DIGITS)
    path, said = chains.walk(digits, x, 0, 3, 4, seed=2)
    assert path.shape == (4, 1, 8, 8)
    assert "chain" in said or "initial states" in said
    for wrong in ((0, len(x), 4), (0, 1, 1)):
        with pytest.raises(InputError, match="expected two of"):
            chains.walk(digits, x, *wrong, seed=0)


# Answers -------------------------------------------------------------------------------------------------------------


def test_pasts_are_even_steps_along_the_line_that_was_drawn() -> None:
    past = answers.past_of([(0.0, 0.0), (3.0, 0.0), (3.0, 1.0)], 5)
    expected = torch.tensor([[0.0, 0], [1, 0], [2, 0], [3, 0], [3, 1]], dtype=torch.float64)
    assert torch.allclose(past, expected)
    given = [(0.0, 0.0), (1.0, 0.0), (5.0, 0.0)]
    assert answers.past_of(given, 3).tolist() == [list(point) for point in given]  # their own pace
    for points in ([], [(1.0, 1.0)], [(1.0, 1.0), (1.0, 1.0)]):
        with pytest.raises(InputError, match="2 different points"):
            answers.past_of(points, 8)


@pytest.mark.parametrize("text", ["1", "1, 2, 3", "a, b", "1e30, 0", "nan, 0"])
def test_what_is_no_position_is_refused(text) -> None:
    with pytest.raises(InputError, match="expected"):
        answers.read_points(text)


def test_futures_go_on_where_the_past_goes(catalogue) -> None:
    opened = catalogue.open(TRACKS)
    points = [(-2.8 + 0.4 * k, 0.0) for k in range(8)]
    past, paths = answers.futures(opened, [(y, x) for x, y in points], 4, seed=0)
    assert past.shape == (8, 2)
    assert paths.shape == (4, opened.data.future, 2)
    assert 2 < float(paths[:, -1, 1].mean()) < 7  # walking up, it goes on upwards
    scene = answers.scene_of(opened)
    assert scene.position(*scene.pixel(1.25, -0.5)) == pytest.approx((1.25, -0.5), abs=1e-3)
    blank, full = answers.draw_scene(scene, points), answers.draw_scene(scene, points, past, paths)
    assert blank.size == full.size == (answers.SIDE, answers.SIDE)
    assert blank.tobytes() != full.tobytes()


def test_anomalies_of_a_table_name_the_column_that_explains_them(catalogue, tmp_path) -> None:
    opened = catalogue.open(TABLE)
    columns = list(opened.data.columns)
    file = tmp_path / "table.csv"
    with file.open("w", newline="") as place:
        writer = csv.writer(place)
        writer.writerow(columns)
        for i in range(20):
            row = [m + 0.1 * s * math.sin(i + j) for j, (m, s) in enumerate(zip(opened.data.mean, opened.data.scale))]
            if i == 7:
                row[4] += 12 * float(opened.data.scale[4])
            writer.writerow([f"{float(v):.8g}" for v in row])
    found = answers.anomalies(opened, file, seed=0)
    first = found.rows()[0]
    assert first[0] == "7"
    assert first[2] == "outlier"
    assert str(first[3]).startswith(columns[4])
    found.save(tmp_path / "scores.csv")
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 21
    with pytest.raises(InputError, match="expected a share"):
        answers.anomalies(opened, file, 1.0, seed=0)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="column"):
        answers.anomalies(opened, tmp_path / "other.csv", seed=0)


@pytest.mark.slow
def test_molecules_move_towards_the_wanted_value(catalogue) -> None:
    pytest.importorskip("rdkit")
    guide = answers.Guide()
    opened = catalogue.open(MOLECULES)
    long = guide(opened, "length", 40.0, 48, seed=0)
    short = guide(opened, "length", 12.0, 48, seed=0)
    assert long.head is short.head  # learned once
    assert long.mean > short.mean
    assert long.sheet.startswith(b"\x89PNG")


def test_a_run_that_trains_is_read_as_it_stands(tmp_path) -> None:
    run = tmp_path / "run"
    shutil.copytree(released.find(MNIST), run)
    lines = [{"step": k, "loss": {"prior": 1 / (k + 1)}, "seconds": 2.0 * k} for k in range(1000)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 10')
    said, curves = answers.training(run)
    assert "step 999" in said
    assert curves.count("<svg") == 1
    (run / "metrics.jsonl").write_text("")
    assert answers.training(run) == ("no step is logged yet", "")


# The catalogue -------------------------------------------------------------------------------------------------------


def test_tabs_are_what_the_model_supports(catalogue) -> None:
    found = {name: set(catalogue.tabs(name)) - {"training"} for name in catalogue.names}
    assert found[MNIST] == {"samples", "fill", "walk"}
    assert found[DIGITS] == {"samples", "fill", "walk"}  # nothing of its shape to mix with
    assert found[MOONS] == {"samples", "mix"}
    assert found[TABLE] == {"anomalies"}
    assert found[TRACKS] == {"futures"}
    assert found["conditional/mnist"] == {"samples"}
    if find_spec("rdkit"):
        assert found[MOLECULES] == {"samples", "guide"}
    assert set(catalogue.partners(MOONS)) == {RING, "maximum_likelihood/ring"}


def test_runs_are_loaded_again_when_their_weights_change(tmp_path) -> None:
    run = tmp_path / "run"
    shutil.copytree(released.find(MOONS), run)
    catalogue = Catalogue([run], [])
    first = catalogue.open(str(run))
    assert catalogue.open(str(run)) is first
    weights = run / "model.safetensors"
    kept = weights.read_bytes()
    weights.unlink()
    assert catalogue.tabs(str(run)) == ("training",)  # as while it trains for the first time
    assert "no weights yet" in catalogue.describe(str(run))
    with pytest.raises(InputError, match="no weights yet"):
        catalogue.open(str(run))
    weights.write_bytes(kept)
    assert catalogue.open(str(run)) is not first


def test_what_is_no_model_is_refused(tmp_path, catalogue) -> None:
    with pytest.raises(InputError, match="nearest: latent_prior/mnist"):
        Catalogue(["latent_prior/mnits"])
    with pytest.raises(InputError, match="expected a run, got none"):
        Catalogue([], [])
    with pytest.raises(InputError, match=r"recipe\.json"):
        Catalogue([tmp_path])
    with pytest.raises(InputError, match="expected one of the models here"):
        catalogue.open("../../etc")


# What is shown -------------------------------------------------------------------------------------------------------


def test_text_is_escaped_and_pictures_say_what_they_are() -> None:
    nasty = '<img src=x onerror=alert(1)>"'
    shown = [
        show.curves(nasty, {nasty: ([0, 1, 2], [1.0, math.nan, 3.0])}, x_label=nasty),
        show.message(nasty, error=True),
        show.picture(b"abc", nasty),
    ]
    assert all("<img src=x" not in part for part in shown)
    assert 'alt="&lt;img' in shown[2]
    assert 'role="img" aria-label="&lt;img' in shown[0]
    assert 'role="alert"' in shown[1]
    assert "<svg" not in show.curves("t", {"a": ([0], [math.nan])})


def test_holes() -> None:
    for part, share in zip(PARTS[1:], (0.25, 0.5, 0.5)):
        assert find_hole(part, None, 8, 8).float().mean() == share
    paint = Image.new("RGBA", (80, 80), (0, 0, 0, 0))
    paint.paste((200, 80, 60, 255), (0, 0, 40, 20))
    hole = find_hole(PARTS[0], paint, 8, 8)
    assert hole[0, :2, :4].all()
    assert int(hole.sum()) == 8
    for nothing in (None, Image.new("RGBA", (80, 80), (0, 0, 0, 0)), Image.new("RGBA", (8, 8), (0, 0, 0, 255))):
        with pytest.raises(InputError, match="expected paint over a part"):
            find_hole(PARTS[0], nothing, 8, 8)


def test_images_of_any_size_are_read_as_the_model_takes_them(catalogue) -> None:
    actions = Actions(catalogue)
    x = catalogue.examples(MNIST)[2]
    shown = actions.example(MNIST, 3)
    assert min(shown.size) >= 300
    assert float((read_image(catalogue.open(MNIST), shown) - x).abs().max()) < 0.02
    assert read_image(catalogue.open(MNIST), Image.new("RGB", (50, 33), "white")).shape == (1, 28, 28)


def test_actions_stream_and_end(catalogue) -> None:
    actions = Actions(catalogue)
    *_, (shown, curves, line) = actions.sample(MNIST, 2, -1, 1.0, 1.0, 0, 0)
    assert 'alt="2 samples of latent_prior/mnist, step 60 of 60"' in shown
    assert curves.count("<svg") == 2
    assert line.startswith("step 60 of 60")
    *_, (shown, line) = actions.fill(MNIST, actions.example(MNIST, 1), None, PARTS[3], 2, 3, 0)
    assert "<img" in shown
    assert not line.endswith("…")
    with pytest.raises(InputError, match="at most"):
        next(actions.sample(MNIST, 1000, -1, 1.0, 1.0, 0, 0))
    with pytest.raises(InputError, match="got none"):
        next(actions.fill(MNIST, None, None, PARTS[3], 2, 3, 0))


# The page ------------------------------------------------------------------------------------------------------------


def test_a_busy_port_names_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port} is in use .*give .*port.\d+") as raised:
            server.check_port("127.0.0.1", port)
        server.check_port("127.0.0.1", int(re.findall(r"\d+", str(raised.value))[-1]))
    with pytest.raises(InputError, match="between 1 and 65535"):
        server.check_port("127.0.0.1", 70000)
    with pytest.raises(InputError, match=r"another (--)?host"):
        server.check_port("203.0.113.1", 7860)


def test_without_gradio_one_line_says_what_to_install(monkeypatch, capsys) -> None:
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["studio"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "absynth: the studio needs the package gradio: pip install 'absynth[studio]'\n"


def test_the_page_answers(address, tmp_path) -> None:
    from gradio_client import Client  # pyright: ignore[reportMissingImports]

    client = Client(address, verbose=False, download_files=tmp_path)
    shown, curves, line = client.predict(MNIST, 2, -1, 1.0, 1.0, 20, 0, api_name="/samples")
    assert 'alt="2 samples of latent_prior/mnist, step 20 of 20"' in shown
    assert curves.count("<svg") == 2
    assert "step 20 of 20" in line
    looks = list(client.submit(DIGITS, 2, -1, 1.0, 1.0, 2000, 0, api_name="/samples"))
    assert len(looks) > 2  # it streams
    *_, line = client.predict(TABLE, None, 0.1, api_name="/anomalies")
    assert "rows score above" in line
    *_, line = client.predict(MNIST, "logP", 4.0, 4, 0, api_name="/guide")
    assert re.fullmatch(r'<p class="studio-error" role="alert">[^<]*needs smiles data[^<]*</p>', line)


def test_the_page_needs_nothing_from_elsewhere(address) -> None:
    with urllib.request.urlopen(address) as answer:
        page = answer.read().decode()
    tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page)
    assert tags
    assert [tag for tag in tags if re.search(r"https?://(?!127\.0\.0\.1)", tag)] == []
    assert "googleapis" not in page
    config = json.loads(urllib.request.urlopen(address + "config").read())
    assert not config.get("analytics_enabled")


def test_an_older_request_of_a_session_stops() -> None:
    turns = Turns()
    first = turns.begin("a", "samples")
    other = turns.begin("b", "samples")
    assert first()
    second = turns.begin("a", "samples")
    assert not first()
    assert second()
    assert other()
    turns.end("a")
    assert not second()
    assert other()
