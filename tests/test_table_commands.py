"""Tables from the command line: train a detector, score rows, fill missing entries, write sampled rows."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from absynth.cli import main
from absynth.cli.tables import read_table
from absynth.tasks.attribution import contributions, gradient_maps
from absynth.tasks.rows import original_columns


def run(*argv: object) -> int:
    try:
        main([str(a) for a in argv])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture
def table(tmp_path) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    made = pd.DataFrame(rng.normal([10.0, -5.0], [2.0, 0.1], size=(200, 2)), columns=["size", "loss"])
    made["kind"] = np.where(made["size"] > 10, "big", "small")
    made["class"] = np.where(np.arange(200) % 2, "a", "b")
    made.to_csv(tmp_path / "table.csv", index=False)
    return made


def test_detect_scores_rows_and_says_why(table, tmp_path):
    trained = tmp_path / "run"
    data = tmp_path / "table.csv"
    assert run("train", "detector", "--data", data, "--out", trained, "--target", "class", "--steps", 100) == 0
    new = table.head(20).drop(columns="class")
    new.loc[3, "loss"] = -3.0  # 20 standard deviations
    new.to_csv(tmp_path / "new.csv", index=False)
    assert run("detect", trained, "--input", tmp_path / "new.csv", "--contamination", 0.05) == 0
    with (trained / "detect" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    assert max(rows, key=lambda r: float(r["score"])) is rows[3]
    assert rows[3]["outlier"] == "1"
    assert sum(int(r["outlier"]) for r in rows) < 10
    assert [r["example"] for r in rows[:2]] == ["0", "1"]
    shares = {k: float(v) for k, v in rows[3].items() if k.startswith("energy of")}
    assert max(shares, key=lambda k: shares[k]) == "energy of loss"
    assert {k.removeprefix("energy of ") for k in shares} == {"size", "loss", "kind"}
    assert run("detect", trained, "--contamination", 2) == 2


def test_detect_writes_the_file_that_is_named_and_keeps_the_names_of_rows(table, tmp_path, capsys):
    trained, out = tmp_path / "run", tmp_path / "results" / "scores.csv"
    assert run("train", "detector", "--data", tmp_path / "table.csv", "--out", trained, "--steps", 20) == 0
    assert "absynth detect" in capsys.readouterr().out
    named = table.head(7).drop(columns="class").set_index(pd.Index([f"probe {i}" for i in range(7)], name="id"))
    named.to_csv(tmp_path / "named.csv")
    named.to_parquet(tmp_path / "named.parquet")
    for suffix in ("csv", "parquet"):
        assert run("detect", trained, "--data", tmp_path / f"named.{suffix}", "--out", out) == 0
        assert pd.read_csv(out)["example"].tolist() == named.index.tolist()
        assert (trained / "detect" / "scores.csv").read_bytes() == out.read_bytes()
    capsys.readouterr()
    assert run("detect", trained, "--data", tmp_path / "named.csv", "--input", tmp_path / "named.csv") == 2
    assert "leave one out" in capsys.readouterr().err
    named.assign(size=np.nan).to_csv(tmp_path / "holes.csv")
    assert run("detect", trained, "--data", tmp_path / "holes.csv") == 2
    assert "absynth impute" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "change", "message"),
    [
        ("train", lambda t: t[["size", "loss"]].head(1), "at least 2 rows"),
        ("train", lambda t: t.assign(size=np.inf), "column 'size': expected a number"),
        ("train", lambda t: pd.DataFrame({"t": [f"free text {i}" for i in range(60)]}), "names and free text"),
        ("impute", lambda t: t.head(1), "1 sample"),
        ("impute", lambda t: t.assign(size=np.nan), "column size has no value"),
        ("impute", lambda t: t.assign(size=np.inf), "infinity"),
        ("impute", lambda t: pd.DataFrame({"t": [f"free text {i}" for i in range(60)]}), "60 different values"),
    ],
)
def test_tables_that_nothing_can_be_learned_from_are_refused(command, change, message, table, tmp_path, capsys):
    change(table).to_csv(tmp_path / "bad.csv", index=False)
    first = ("train", "detector") if command == "train" else ("impute",)
    assert run(*first, "--data", tmp_path / "bad.csv", "--out", tmp_path / "out.csv") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_impute_needs_the_same_columns_and_a_budget(table, tmp_path, capsys):
    table.drop(columns="loss").to_csv(tmp_path / "other.csv", index=False)
    given = ("--data", tmp_path / "table.csv", "--out", tmp_path / "out.csv")
    assert run("impute", *given, "--like", tmp_path / "other.csv") == 2
    assert "got none called loss" in capsys.readouterr().err
    assert run("impute", *given, "--minutes", 0) == 2
    assert "positive --minutes" in capsys.readouterr().err


def test_impute_reads_a_file_as_train_does_and_keeps_known_cells(tmp_path, capsys):
    """Semicolons, decimal commas, marks of missing values, dates and bools; known cells stay as they are written."""
    rng, n = np.random.default_rng(0), 40
    yes = rng.random(n) < 0.5
    table = pd.DataFrame(
        {"size": [f"{v:.2f}" for v in np.where(yes, 4, -4) + rng.normal(size=n)], "on": yes.astype(str)}
    )
    table["when"] = pd.date_range("2024-01-01", periods=n).astype(str)
    table.loc[[2, 3], "on"], table.loc[5, "size"], table.loc[7, "when"] = "?", "", "NA"
    table.to_csv(tmp_path / "a.csv", index=False)
    table.assign(size=table["size"].str.replace(".", ",")).to_csv(tmp_path / "b.csv", index=False, sep=";")
    pd.testing.assert_frame_equal(read_table(tmp_path / "a.csv").frame, read_table(tmp_path / "b.csv").frame)
    assert read_table(tmp_path / "b.csv").notes == ["decimal comma read in size"]
    out = tmp_path / "filled.csv"
    assert run("impute", "--data", tmp_path / "a.csv", "--out", out, "--minutes", 0.005) == 0
    filled = pd.read_csv(out, dtype=str, keep_default_na=False)
    known = ~table.isin(["?", "", "NA"])
    assert (filled[known] == table[known]).where(known, True).all().all()
    assert filled["on"][[2, 3]].tolist() == table["size"][[2, 3]].astype(float).gt(0).astype(str).tolist()
    assert "2024-01-01" <= filled["when"][7] <= "2024-02-09"


def test_impute_fills_bools_of_parquet_with_bools(table, tmp_path):
    table = table.head(40)
    holes = table.assign(on=pd.Series(table["size"] > 10, dtype=object)).drop(columns="class")
    holes.loc[3, "on"] = None
    holes.to_parquet(tmp_path / "a.parquet")
    given = ("--data", tmp_path / "a.parquet", "--out", tmp_path / "b.parquet", "--minutes", 0.02)
    assert run("impute", *given) == 0
    assert pd.read_parquet(tmp_path / "b.parquet")["on"].tolist() == (table["size"] > 10).tolist()


def test_detect_writes_no_file_of_another_kind_and_takes_no_table_for_a_run(table, tmp_path, capsys):
    assert run("detect", tmp_path, "--out", tmp_path / "scores.parquet") == 2
    assert "expected --out to be a folder or a .csv file" in capsys.readouterr().err
    assert not (tmp_path / "scores.parquet").exists()
    assert run("detect", tmp_path / "table.csv") == 2
    assert "got the file" in capsys.readouterr().err


def test_impute_replaces_no_table_that_it_reads(table, tmp_path, capsys):
    data, before = tmp_path / "table.csv", (tmp_path / "table.csv").read_bytes()
    assert run("impute", "--data", data, "--out", tmp_path / "." / "table.csv") == 2
    assert "expected --out to leave" in capsys.readouterr().err
    table.to_csv(tmp_path / "new_1.csv", index=False)
    assert run("impute", "--data", tmp_path / "new_1.csv", "--out", tmp_path / "new.csv", "--draws", 1) == 2
    assert run("impute", "--data", data, "--like", data, "--out", data) == 2
    assert data.read_bytes() == before


def test_impute_names_the_cell_that_is_no_number(table, tmp_path, capsys):
    table.astype({"loss": str}).replace({"loss": {str(table["loss"][4]): "broken"}}).to_csv(tmp_path / "a.csv")
    assert run("impute", "--data", tmp_path / "a.csv", "--out", tmp_path / "b.csv") == 2
    assert "line 6, column 'loss': 1 of 200 values are no numbers (\"broken\")" in capsys.readouterr().err
    assert run("impute", "--data", tmp_path, "--out", tmp_path / "b.csv") == 2
    assert "got a folder" in capsys.readouterr().err


def test_detect_draws_a_map_for_each_image(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(12):
        where = tmp_path / "photos" / ("a" if i % 2 else "b")
        where.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(where / f"{i}.jpg")
    trained, out = tmp_path / "run", tmp_path / "scores.csv"
    assert run("train", "maximum_likelihood", "--data", tmp_path / "photos", "--out", trained, "--tiny") == 0
    assert run("detect", trained, "--data", tmp_path / "photos", "--out", out) == 0
    assert pd.read_csv(out)["example"].tolist() == sorted(f"{'a' if i % 2 else 'b'}/{i}.jpg" for i in range(12))
    assert len(list((trained / "detect" / "maps").rglob("*.png"))) == 12


def test_impute_fills_and_keeps_what_is_known(table, tmp_path, capsys):
    holes = table.copy()
    holes.loc[[1, 2], "loss"] = np.nan
    holes.loc[[5], "kind"] = None
    holes.to_csv(tmp_path / "holes.csv", index=False)
    assert (
        run(
            "impute",
            "--data",
            tmp_path / "holes.csv",
            "--out",
            tmp_path / "filled.csv",
            "--draws",
            2,
            "--minutes",
            0.02,
        )
        == 0
    )
    assert "filled 3 of 800 entries (loss 2, kind 1)" in capsys.readouterr().out
    filled = pd.read_csv(tmp_path / "filled.csv")
    known = holes.notna()
    assert filled.notna().all().all()
    assert (filled["kind"] == table["kind"]).mean() == 1.0
    np.testing.assert_allclose(filled["loss"][known["loss"]], holes["loss"][known["loss"]])
    drawn = [pd.read_csv(tmp_path / f"filled_{i}.csv")["loss"][1] for i in (1, 2)]
    assert drawn[0] != drawn[1]
    assert run("impute", "--data", tmp_path / "holes.csv", "--out", tmp_path / "x.txt") == 2
    assert "suffix .csv or .parquet" in capsys.readouterr().err
    assert run("impute", "--data", tmp_path / "none.csv", "--out", tmp_path / "x.csv") == 2


def test_sampled_rows_are_in_original_columns_and_units(table, tmp_path):
    trained = tmp_path / "run"
    data = tmp_path / "table.csv"
    assert run("train", "maximum_likelihood", "--data", data, "--out", trained, "--tiny") == 0
    assert run("sample", trained, "--n", 5) == 0
    rows = pd.read_csv(trained / "sample" / "rows.csv")
    assert list(rows.columns) == ["size", "loss", "kind"]
    assert len(rows) == 5
    assert set(rows.kind) <= {"big", "small"}
    assert run("sample", trained, "--n", 5, "--out", tmp_path / "rows.csv") == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "rows.csv"), rows)


def test_a_detector_does_not_sample(table, tmp_path, capsys):
    trained = tmp_path / "run"
    assert run("train", "detector", "--data", tmp_path / "table.csv", "--out", trained, "--tiny") == 0
    assert run("sample", trained) == 2
    assert "EBMDensity to sample" in capsys.readouterr().err


def test_contributions_are_exact_for_a_quadratic():
    """−½ Σ a x²: each entry adds ½ a x², and an interaction is shared evenly."""
    a, x = torch.tensor([1.0, 4.0]), torch.tensor([[3.0, -1.0]])
    found = contributions(lambda x: -0.5 * (a * x**2).sum(1), x, torch.zeros(2))
    torch.testing.assert_close(found, torch.tensor([[4.5, 2.0]]))
    both = contributions(lambda x: -x[:, 0] * x[:, 1], x, torch.zeros(2))
    torch.testing.assert_close(both, torch.tensor([[-1.5, -1.5]]))


def test_gradient_maps_show_where_the_energy_changes():
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 1, 2] = 1.0
    found = gradient_maps(lambda x: -(x**2).flatten(1).sum(1), x)
    assert found[0, 0, 1, 2] == 1
    assert (found == -1).sum() == 15


def test_words_come_back_from_their_columns():
    x = torch.tensor([[1.0, 0.3, 0.9], [2.0, 1.2, -0.1]])
    assert original_columns(x, ["a", "k=u", "k=v"]) == {"a": [1.0, 2.0], "k": ["v", "u"]}
