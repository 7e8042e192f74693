"""A run's report holds all that the run left behind, and nothing that is fetched; pictures show what they are given."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from absynth import pictures, tasks
from absynth.errors import InputError
from absynth.report import TaskResult, gather, html
from absynth.report.page import write
from absynth.seeding import noise_like

NASTY = "<script>alert(\"1\")</script> & 'x' <img src=\"a.png\"> <a href='https://a.b'>"


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for found, attributes in self.tags if found == tag]


def line(step, **more):
    return json.dumps({"step": step, "seconds": 0.1, "loss": {"prior": 0.1 / step}, "gradient": {"prior": 1.0}, **more})


@pytest.fixture
def run(tmp_path):
    """The least that a run can be: a recipe and a few metrics lines, the last cut off."""
    (tmp_path / "recipe.json").write_text(
        json.dumps(
            {"recipe": "toy", "fields": {"data": "digits", "seed": 1}, "metrics": {"prior": "is near 0 at balance"}}
        )
    )
    (tmp_path / "metrics.jsonl").write_text(f'{line(10)}\n{line(20)}\n{{"step": 30, "lo')
    return tmp_path


def result(folder, **changes):
    given = {"task": "detect", "title": "A title", "command": "absynth detect run", "seed": 1, "text": "a\n\nb"}
    made = TaskResult(**{**given, **changes})
    made.save(folder)
    return made


def test_result_round_trip(tmp_path):
    made = result(
        tmp_path / "detect",
        pictures=[{"file": "a.png", "caption": "c"}],
        figures={"AUPRC": 0.5, "n": 3},
        baselines={"AUPRC": {"PCA": 0.25}},
        tables=[{"caption": "t", "columns": ["a", "b"], "rows": [[1, "x"], [2.5, None]]}],
    )
    assert TaskResult.load(tmp_path / "detect") == made
    assert [p.name for p in (tmp_path / "detect").iterdir()] == ["result.json"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": "1"}, "seed must be an integer"),
        ({"text": None}, "text must be text"),
        ({"figures": {"a": "0.5"}}, "figures must be numbers"),
        ({"figures": {"a": True}}, "figures must be numbers"),
        ({"baselines": {"other": {"PCA": 1.0}}}, "baselines must be of figures"),
        ({"pictures": [{"file": "../../secret.png", "caption": ""}]}, "name in the folder"),
        ({"pictures": [{"file": "a.png"}]}, "pictures must hold file, caption"),
        ({"tables": [{"caption": "", "columns": ["a"], "rows": [[1, 2]]}]}, "a column"),
        ({"tables": [{"caption": "", "columns": ["a"], "rows": [[{}]]}]}, "a column"),
        ({"other": 1}, "its keys must be"),
    ],
)
def test_damaged_result_says_what_is_wrong(run, change, said):
    folder = run / "detect"
    (run / "metrics.jsonl").unlink()
    result(folder)
    write(run)  # it was good before
    contents = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**contents, **change}))
    with pytest.raises(InputError, match=said) as caught:
        TaskResult.load(folder)
    assert "\n" not in str(caught.value)
    assert "detect/result.json is damaged" in write(run).read_text()  # one result never costs the page


def test_cut_off_result_and_missing_recipe(run, tmp_path):
    result(run / "detect")
    whole = (run / "detect" / "result.json").read_text()
    (run / "detect" / "result.json").write_text(whole[:-20])
    with pytest.raises(InputError, match="run the task again"):
        TaskResult.load(run / "detect")
    with pytest.raises(InputError, match=r"recipe\.json.*directory of a run"):
        write(tmp_path / "detect")
    (run / "recipe.json").write_text("{}")
    with pytest.raises(InputError, match="must hold"):
        write(run)


def test_saving_checks_first(tmp_path):
    with pytest.raises(InputError, match="one text or number a column"):
        result(tmp_path, tables=[{"caption": "", "columns": ["a", "b"], "rows": [[1]]}])
    assert not (tmp_path / "result.json").exists()


def test_the_least_run_has_a_report(run):
    page = Page(write(run).read_text())
    assert "Datadigits" in page.text
    assert "Statenot finished, last seen at step 20" in page.text
    assert "near 0 at balance" in page.text
    assert "1 line of metrics.jsonl could not be read and is left out" in page.text
    assert "Figures" not in page.text
    assert sorted(p.name for p in (run / "curves").iterdir()) == ["gradient.png", "loss_prior.png"]
    (run / "metrics.jsonl").unlink()
    assert "before its first step" in write(run).read_text()


def test_the_page_is_self_contained_and_accessible(run):
    picture = run / "sample" / "s.png"
    pictures.grid(torch.zeros(4, 1, 8, 8), picture)
    result(
        run / "sample",
        task="sample",
        pictures=[{"file": "s.png", "caption": "four"}, {"file": "no.png", "caption": "x"}],
    )
    result(run / "detect", tables=[{"caption": "t", "columns": ["a", "b"], "rows": [["r", 0.5]]}])
    text = write(run).read_text()
    page = Page(text)
    assert not re.search(r"https?://", text)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert all(a["href"].startswith("#") for a in page.all("a"))
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert all(a["href"][1:] in ids for a in page.all("a"))
    images = page.all("img")
    assert len(images) == 3  # the sample, and two curves
    assert all(i["src"].startswith("data:image/png;base64,") and i["alt"] for i in images)
    assert base64.b64decode(images[0]["src"].split(",")[1]) == picture.read_bytes()
    assert "no.png is missing" in page.text
    assert page.all("html")[0]["lang"] == "en"
    assert all(t.get("scope") in ("col", "row") for t in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table")) > 1
    assert "prefers-color-scheme:dark" in text
    assert "width=device-width" in text


def test_everything_is_escaped(run):
    fields = {"data": NASTY, NASTY: [NASTY]}
    recipe = {"recipe": NASTY, "fields": fields, "metrics": {NASTY: NASTY}}
    (run / "recipe.json").write_text(json.dumps(recipe))
    (run / "metrics.jsonl").write_text(json.dumps({"step": 1, "loss": {NASTY: 1.0}}) + "\n")
    entry = {"event": NASTY, "step": NASTY, "time": NASTY, "text": NASTY, "command": NASTY}
    (run / "journal.jsonl").write_text(json.dumps({**entry, "step": 1}) + "\n")
    (run / "detect").mkdir()
    (run / "detect" / "a.png").write_bytes(b"x")
    result(
        run / "detect",
        **dict.fromkeys(("title", "command", "text"), NASTY),
        pictures=[{"file": "a.png", "caption": NASTY}, {"file": "b.exe", "caption": NASTY}],
        figures={NASTY: 1.0},
        baselines={NASTY: {NASTY: 2.0}},
        tables=[{"caption": NASTY, "columns": [NASTY], "rows": [[NASTY]]}],
    )
    page = Page(write(run).read_text())
    assert not page.all("script")
    assert len(page.all("img")) == 2  # a.png and one curve: none came from a text
    assert all(a["href"].startswith("#") for a in page.all("a"))
    assert page.text.count(NASTY) >= 15


def test_sections_stand_in_order_with_figures_beside_baselines(run):
    for task in ("zeta", "detect", "chain", "interpolate", "reconstruct", "sample"):
        result(run / task, task=task, title=f"about {task}", figures={f"{task} f": 0.123456}, baselines={})
    result(run / "detect", figures={"AUPRC": 0.7}, baselines={"AUPRC": {"PCA": 0.25, "guessing": 0.1}})
    (run / "journal.jsonl").write_text('{"event": "start", "step": 0, "time": "2026-01-02T03:04:05", "text": "go"}\n')
    text = write(run).read_text()
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", text)
    assert titles == [
        *("Figures", "Samples", "Reconstructions", "Interpolations", "The chain from its start", "Anomaly detection"),
        *("Other tasks", "Learning curves", "What happened during training", "The recipe", "How to repeat it"),
    ]
    assert re.search(r"AUPRC</th><td class=\"n\">0.7</td><td>PCA 0.25; guessing 0.1</td>", text)
    assert "0.1235" in text


def test_the_journal_tells_the_state_and_what_the_guard_did(run):
    entries = [
        {
            "event": "start",
            "step": 0,
            "time": "2026-01-02T03:04:05+00:00",
            "text": "go",
            "command": "absynth train toy -x",
        },
        {"event": "guard", "step": 15, "time": "2026-01-02T03:05:05+00:00", "text": "went back to step 10"},
    ]
    journal = run / "journal.jsonl"
    journal.write_text("\n".join(map(json.dumps, entries)) + "\n")
    text = write(run).read_text()
    assert "acted once" in text
    assert "went back to step 10" in text
    assert '<tr class="guard">' in text
    assert "<code>absynth train toy -x" in text
    for event, said in (
        ("interrupt", "stopped by its user at step 25"),
        ("diverged", "stopped by the guard: diverged at step 25"),
        ("finish", "finished at step 25"),
    ):
        with journal.open("a") as file:
            file.write(json.dumps({"event": event, "step": 25, "time": "2026-01-03T00:00:00", "text": ""}) + "\n")
        text = write(run).read_text()
        assert f"<dd>{said}</dd>" in text
        assert "2026-01-02 03:04 to 2026-01-03 00:00" in text


def test_curves_drop_what_the_run_went_back_behind(run, monkeypatch):
    drawn = {}
    monkeypatch.setattr(pictures, "curves", lambda path, series, *a, **k: drawn.setdefault(path.stem, series))
    monkeypatch.setattr(html, "image", lambda path, caption: "")
    chain = {"chain": {"prior": {"max": 3.0, "rms": 1.0}}, "stability": {"prior": 0.5}}
    steps = [10, 20, 30, 20, 40]
    (run / "metrics.jsonl").write_text("".join(line(step, **chain) + "\n" for step in steps))
    assert "2 lines that a roll-back withdrew" in write(run).read_text()
    assert drawn["loss_prior"] == {"prior": ([10, 20, 40], [0.1 / 10, 0.1 / 20, 0.1 / 40])}
    assert set(drawn["chain"]) == {"prior: max", "prior: rms"}
    assert drawn["stability"] == {"prior": ([10, 20, 40], [0.5] * 3), "limit 4": ([10, 40], [4.0, 4.0])}


def opened(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_grid_shows_each_pixel_in_its_place(tmp_path, rng):
    x = noise_like(torch.empty(5, 3, 8, 6), rng).clamp(-1, 1)
    pictures.grid(x, tmp_path / "g.png", columns=3, gap=2)
    shown = opened(tmp_path / "g.png")
    assert shown.shape == (2 * 64 + 2, 3 * 48 + 4, 3)  # 8 is the least whole factor for which 6 pixels are 48
    tile = shown[66:130, 50:98]  # the fifth image, second row and second column
    wanted = ((x[4].permute(1, 2, 0).numpy() + 1) * 127.5).repeat(8, 0).repeat(8, 1)
    assert np.abs(tile - wanted).max() <= 0.5001
    assert (shown[66:, 100:] == 255).all()  # there is no sixth image
    pictures.grid(x, tmp_path / "g.png", scale=1, gap=0)
    assert opened(tmp_path / "g.png").shape == (8, 30, 3)


def test_rows_of_different_sizes_share_a_tile(tmp_path):
    rows = {"input": torch.ones(3, 1, 16, 16), "coarse": torch.full((3, 1, 4, 4), -1.0)}
    pictures.rows_with_labels(rows, tmp_path / "r.png")
    shown = opened(tmp_path / "r.png")
    assert shown.shape[0] == 48 + 4 + 48
    assert (shown[52:, -48:] == 0).all()
    assert (shown[52:, :40] < 128).any()  # the title
    with pytest.raises(InputError, match="same number"):
        pictures.rows_with_labels({**rows, "few": torch.ones(2, 1, 4, 4)}, tmp_path / "r.png")


def test_what_is_no_picture_is_refused(tmp_path):
    path = tmp_path / "p.png"
    bad = torch.zeros(2, 1, 4, 4)
    bad[0, 0, 0, 0] = float("nan")
    for x, said in ((torch.zeros(2, 2, 4, 4), "1 or 3"), (torch.zeros(0, 1, 4, 4), "> 0"), (bad, "finite")):
        with pytest.raises(InputError, match=said):
            pictures.grid(x, path)
    with pytest.raises(InputError, match="scale must be 1"):
        pictures.grid(torch.zeros(2, 1, 4, 4), path, scale=0)
    with pytest.raises(InputError, match="expected 3, got 2"):
        pictures.energy_profile(path, torch.zeros(3, 4), [0, 1])
    with pytest.raises(InputError, match="as many xs as ys"):
        pictures.curves(path, {"a": ([1, 2], [1.0])}, "", "", "")
    with pytest.raises(InputError, match="finite"):
        pictures.histogram(path, {"a": [float("inf")]}, "")
    assert not list(tmp_path.iterdir())


def test_plots_depend_on_what_is_drawn_alone(tmp_path, rng):
    """The same numbers give the same bytes, other numbers others; pyplot stays out of it."""
    e = noise_like(torch.empty(6, 20), rng)
    nan = float("nan")

    def draw(shift, path):
        made = {
            "curves": lambda p: pictures.curves(p, {"a": ([1, 2, 3], [1, nan, 2.0 + shift])}, "x", "y", "t"),
            "log": lambda p: pictures.curves(
                p, {"a": ([1, 2], [1, 9.0 + shift]), "b": ([1], [0.0])}, "x", "y", "t", log=True
            ),
            "pr": lambda p: pictures.precision_recall(p, {"m": ([1.0, 0.5, 0.0], [0.2, 0.6 + shift, 1.0])}, 0.1),
            "energy": lambda p: pictures.energy_profile(p, e * (1 + shift), list(range(6)), mark=3),
            "histogram": lambda p: pictures.histogram(p, {"a": e[0], "b": np.asarray(e[1:]) * (1 + shift)}, "x"),
            "scatter": lambda p: pictures.scatter2d(p, {"a": e[:, :2] + shift}, e, (-3.0, 3.0, -3.0, 3.0)),
        }
        out = {}
        for name, function in made.items():
            function(path / f"{name}.png")
            out[name] = (path / f"{name}.png").read_bytes()
        return out

    first, again, other = draw(0.0, tmp_path), draw(0.0, tmp_path), draw(0.2, tmp_path)
    assert first == again
    for name, data in first.items():
        assert Image.open(io.BytesIO(data)).size[0] > 700
        assert data != other[name], name
    with pytest.raises(InputError, match="extent"):
        pictures.scatter2d(tmp_path / "s.png", {}, e)


def test_a_reason_that_several_tasks_share_is_said_once(run, monkeypatch):
    def refuse(run, **flags):
        raise InputError("the data changed")

    said = []
    monkeypatch.setattr(gather.checkpoint, "require_trained", lambda run: None)
    monkeypatch.setattr(gather.checkpoint, "load", lambda run: None)
    monkeypatch.setattr(tasks, "tasks", lambda: ("evaluate", "detect"))
    monkeypatch.setattr(tasks, "find", lambda name: SimpleNamespace(REPORT={}, command=refuse))
    gather.gather(run, say=said.append)
    assert said == ["evaluate: left out: the data changed", "detect: left out: as evaluate"]
