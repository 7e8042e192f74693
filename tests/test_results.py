"""Recorded figures: what is written is what is read, and a document that says otherwise is found out."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess

import numpy as np
import pytest
from rich.console import Console

from absynth import files, quoting, recipes, results
from absynth.errors import InputError


def put(path, **changes):
    given = {
        "command": "python benchmarks/a.py",
        "data": "digits, test part",
        "protocol": "mean over 10 runs",
        "seeds": [1, 2, 3],
        "figures": {"auprc": [0.912345678, 0.9, 0.888], "steps": [60, 60, 60]},
        "baselines": {"auprc/PCA": [0.31, 0.33], "auprc": [0.5]},
        "bars": {"auprc": {"at_least": 0.85, "why": "the paper's table 2"}},
    }
    return results.record(path, **{**given, **changes})


@pytest.fixture
def folder(tmp_path):
    put(tmp_path / "results" / "digits.json")
    return tmp_path / "results"


def test_round_trip_keeps_five_digits_and_fills_in_the_machine(folder):
    loaded = results.load_all(folder)["digits"]
    assert loaded == put(folder / "digits.json")
    assert loaded.figures["auprc"] == [0.91235, 0.9, 0.888]
    assert loaded.machine["cores"] >= 1
    assert loaded.machine["torch"]
    assert [p.name for p in folder.iterdir()] == ["digits.json"]  # no temporary file stays


def test_baselines_go_with_their_figure(tmp_path):
    r = put(
        tmp_path / "a.json",
        figures={"auprc": [1.0, 1.0, 1.0], "auprc/digit 9": [1.0, 1.0, 1.0]},
        baselines={"auprc/PCA": [0.3], "auprc/digit 9/PCA": [0.2]},
    )
    assert r.baselines_of("auprc") == {"PCA": [0.3]}
    assert r.baselines_of("auprc/digit 9") == {"PCA": [0.2]}


@pytest.mark.parametrize(
    ("bar", "met"), [({"at_least": 0.9}, True), ({"at_least": 0.91}, False), ({"at_most": 0.9}, False)]
)
def test_a_bar_is_on_the_mean(tmp_path, bar, met):
    r = put(tmp_path / "a.json", bars={"auprc": {**bar, "why": "."}})  # the mean is 0.90012
    assert r.met("auprc") is met
    assert r.met("steps") is None
    assert ("NOT MET" in quoting.markdown_table({"a": r})) is not met


def test_mean_and_spread_are_those_of_the_seeds(tmp_path):
    r = put(tmp_path / "a.json", figures={"x": [1.0, 2.0, 3.0]}, baselines={}, bars=None)
    assert "| a | x | 2.0 ± 1.0 | 1, 2, 3 |" in quoting.markdown_table({"a": r})
    single = put(tmp_path / "a.json", seeds=[4], figures={"x": [2.5]}, baselines={}, bars=None)
    assert "| a | x | 2.5 |  |  |  |" in quoting.markdown_table({"a": single})


def test_commit_is_unknown_outside_git_and_marked_where_code_has_changed(tmp_path):
    def git(*arguments):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True)

    path = tmp_path / "results" / "a.json"
    assert put(path).commit == "unknown"
    git("init", "-q")
    (tmp_path / "code.py").write_text("1")
    git("add", "code.py")
    git("commit", "-qm", "first")
    clean = put(path).commit  # the records themselves, untracked here, are no change to the code
    assert not clean.endswith("+")
    (tmp_path / "code.py").write_text("2")
    assert put(path).commit == clean + "+"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"figures": {"x": [1.0, 2.0]}}, "one value a seed"),
        ({"figures": {"auprc": [1.0, 2.0, float("nan")]}}, "finite"),
        ({"figures": {}}, "at least one"),
        ({"baselines": {"PCA": [1.0]}}, "FIGURE/METHOD"),
        ({"bars": {"nothing": {"at_least": 1.0, "why": "."}}}, "one of the figures"),
        ({"bars": {"auprc": {"at_least": 1.0}}}, "why"),
        ({"bars": {"auprc": {"at_least": 1.0, "at_most": 2.0, "why": "."}}}, "at_least or at_most"),
    ],
)
def test_what_cannot_be_recorded_leaves_no_file(tmp_path, changes, said):
    with pytest.raises(InputError, match=said):
        put(tmp_path / "a.json", **changes)
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("text", ['{"command": "x"', "[]", '{"command": "x"}', "\xff"])
def test_damaged_records_are_named(folder, text):
    (folder / "bad.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"bad\.json"):
        results.load_all(folder)
    with pytest.raises(InputError, match="no such folder"):
        results.load_all(folder / "none")


DOCUMENT = """# Title

<!-- results:digits --> old <!-- /results -->

Quoted: `<!-- results:NAME -->` and

```
<!-- figure:NAME.FIGURE -->
```

It reaches <!-- figure:digits.auprc --><!-- /figure --> against <!-- figure:digits.auprc/PCA -->?<!-- /figure -->.
"""


def test_a_document_is_filled_in_and_found_stale_when_a_figure_changes(folder, tmp_path):
    document = tmp_path / "README.md"
    document.write_text(DOCUMENT)
    assert [place.split(":")[1] for place in quoting.check(document, folder)] == ["3", "11", "11"]
    assert document.read_text() == DOCUMENT  # a check changes nothing
    assert quoting.write_into(document, folder) == ["results:digits", "figure:digits.auprc", "figure:digits.auprc/PCA"]
    filled = document.read_text()
    assert "reaches <!-- figure:digits.auprc -->0.900 ± 0.012<!-- /figure --> against" in filled
    assert quoting.markdown_table(results.load_all(folder)) in filled
    assert "`<!-- results:NAME -->`" in filled
    assert quoting.check(document, folder) == []
    assert quoting.write_into(document, folder) == []

    put(folder / "digits.json", figures={"auprc": [0.95, 0.9, 0.888], "steps": [60, 60, 60]})
    assert [place.split(" ")[0] for place in quoting.check(document, folder)] == [
        "README.md:3:",
        f"README.md:{filled[: filled.index('It reaches')].count(chr(10)) + 1}:",
    ]  # the baseline did not change
    document.write_text(filled.replace("0.900 ± 0.012<", "0.999<"))
    put(folder / "digits.json")
    assert len(quoting.check(document, folder)) == 1


def test_a_median_is_of_the_rounds(folder, tmp_path):
    document = tmp_path / "speed.md"
    document.write_text("<!-- median:digits.auprc -->?<!-- /median -->")
    put(folder / "digits.json", figures={"auprc": [0.9, 0.1, 0.914], "steps": [60, 60, 60]})
    assert quoting.write_into(document, folder) == ["median:digits.auprc"]
    assert document.read_text() == "<!-- median:digits.auprc -->0.90<!-- /median -->"
    document.write_text("<!-- median:digits.auprc -->0.90<!-- /figure -->")
    with pytest.raises(InputError, match="opened and closed"):
        quoting.check(document, folder)


def test_all_and_several_names(folder, tmp_path):
    put(folder / "other.json")
    document = tmp_path / "a.md"
    document.write_text("<!-- results:all --><!-- /results -->\n<!-- results:other, digits --><!-- /results -->")
    quoting.write_into(document, folder)
    everything = results.load_all(folder)
    first, second = document.read_text().split("<!-- /results -->")[:2]
    assert quoting.markdown_table(everything) in first
    assert quoting.markdown_table({name: everything[name] for name in ("other", "digits")}) in second


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n<!-- results:none --><!-- /results -->", r"a\.md:2: .*digits, got 'none'"),
        ("<!-- figure:digits.none --><!-- /figure -->", "auprc, steps, got 'none'"),
        ("<!-- figure:digits.auprc --> and no end", "opened and closed"),
        ("<!-- results:digits --> <!-- results:digits --><!-- /results -->", "opened and closed"),
        ("<!-- /results -->", "opened and closed"),
    ],
)
def test_markers_without_a_record_or_an_end(folder, tmp_path, text, said):
    document = tmp_path / "a.md"
    document.write_text(text)
    for function in (quoting.check, quoting.write_into):
        with pytest.raises(InputError, match=said):
            function(document, folder)
    assert document.read_text() == text


def test_text_stays_text_in_markdown_and_on_the_terminal(tmp_path):
    figures = {"a|b [red]*": [1.0, 2.0, 3.0]}
    r = put(tmp_path / "a.json", figures=figures, baselines={}, bars=None, data="<!-- /results --><b>", command="x `y`")
    text = quoting.markdown_table({"a": r})
    assert r"| a\|b \[red\]\* |" in text
    assert "<" not in text
    assert "`x 'y'`" in text
    console = Console(file=io.StringIO(), width=200)
    console.print(results.table({"a": r}))
    assert "a|b [red]*" in console.file.getvalue()
    assert "2.0 ± 1.0" in console.file.getvalue()


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_atomic(path, "old")

    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "fsync", fails)
    with pytest.raises(InputError, match="disk full"):
        files.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_file_is_plain_json(folder):
    contents = json.loads((folder / "digits.json").read_text())
    assert list(contents) == [
        "command",
        "commit",
        "data",
        "machine",
        "protocol",
        "seeds",
        "figures",
        "baselines",
        "bars",
    ]


def test_a_recorded_recipe_on_data_in_memory_resolves_for_one_of_its_kinds():
    made = recipes.build("maximum_likelihood", np.random.default_rng(0).normal(size=(40, 2)), steps=7, batch=8)
    entry = {"method": "maximum_likelihood", "data": "table", "preset": "", "given": {"steps": 7, "batch": 8}}
    assert recipes.resolves_to(entry | {"fields": made.fields()})
    assert not recipes.resolves_to(entry | {"fields": made.fields() | {"chain_steps": made.chain_steps + 1}})
    assert not recipes.resolves_to(entry | {"fields": made.fields(), "given": {"steps": 8, "batch": 8}})


def test_a_readers_option_that_came_later_and_chooses_nothing_leaves_a_record_as_it_is():
    entry = {"method": "latent_prior", "data": "mnist", "preset": "mnist", "given": {}}
    cls = recipes.classes("latent_prior")["image"]
    fields = {f.name: f.default for f in dataclasses.fields(cls)} | recipes.presets(cls)["mnist"].fields
    fields = {k: v for k, v in fields.items() if k not in ("data", "dataset")} | {"preset": "mnist", "kind": "image"}
    assert fields.pop("anomaly") == -1
    assert recipes.resolves_to(entry | {"fields": fields})
    assert not recipes.resolves_to(entry | {"fields": fields, "given": {"anomaly": 4}})
