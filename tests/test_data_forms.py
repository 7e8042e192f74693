"""Tables as programs and instruments write them: quotes, names of columns, units, dates, digits, marks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from absynth.data import tables
from absynth.errors import InputError


@pytest.fixture
def read(tmp_path: Path):
    """Write a table and read it."""

    def call(text: str, **options):
        (tmp_path / "t.csv").write_bytes(text.encode())
        return tables.csv_table(tmp_path / "t.csv", **options)

    return call


def test_quotes_that_are_not_closed_are_refused_and_not_read_over_rows(read):
    rows = "".join(f"{i},{i % 7},{'xy'[i % 2]}\n" for i in range(30))
    for text in (rows.replace("x", '"x', 1), rows.replace("x", '"x', 1).replace("28,0,x", '28,0,"')):
        with pytest.raises(InputError, match=r"line 2: expected cells with quotes in pairs"):
            read("a,b,c\n" + text)
    found = read("a,b,c\n" + rows.replace("x", '"two\nlines"'))
    assert found.classes == ("two lines", "y")


@pytest.mark.parametrize(
    ("head", "line"),
    [("0,1,kind", "{a},{b},{w}"), (",0,1,2", "{i},{a},{b},{b}"), ("2019,2020,kind", "{a},{b},{w}"),
     ("0,1,2", "{a},{b},{b}")],
)  # fmt: skip
def test_numbers_that_name_columns(read, head, line):
    lines = [line.format(i=i, a=i * 0.5 + 3, b=i % 5, w="no" if i % 3 else "yes") for i in range(30)]
    found = read("\n".join([head, *lines]))
    names = [name for name in head.split(",") if name not in ("", "kind")]
    assert (len(found), list(found.columns)) == (30, names)
    assert len(read("\n".join(lines))) == 30


@pytest.mark.parametrize(("head", "line"), [("label,a,b", "{y},{x},{z}"), ("a,Class,b", "{x},{y},{z}")])
def test_a_column_with_the_name_of_classes_is_found_anywhere(read, head, line):
    text = "\n".join([head, *(line.format(x=i / 2, y=i % 3, z=i % 7) for i in range(60))])
    assert read(text).classes == ("0", "1", "2")
    last_words = "\n".join(["class,a,b", *(f"{i % 3},{i},{'uv'[i % 2]}" for i in range(60))])
    assert read(last_words).target == "b"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("{big}", "differs from others beyond 16 digits: subtract a constant"),
        ("{i}{unit}", "are in different units: write all in one"),
        ("{word}{i}", "are no numbers"),
        ("{i:02d}:30", "is a time of day"),
        ("0{d}/1{d}/19", "is a date in a form that is not read"),
    ],
)
def test_columns_that_would_be_learned_wrongly_are_refused(read, cell, said):
    def line(i: int) -> str:
        given = {"i": i % 24, "big": 2**60 + i, "unit": "%" if i % 2 else "", "word": ">" if i % 3 else "", "d": i % 9}
        return f"{i / 3},{cell.format(**given)}"

    with pytest.raises(InputError, match=said):
        read("\n".join(["a,b", *map(line, range(60))]))


@pytest.mark.parametrize(
    "form", ["2020/01/{d:02d}", "{d} January 2020", "{d}-Jan-2020", "Jan {d} 2020", "202001{d:02d}"]
)
def test_forms_of_dates(read, form):
    found = read("\n".join(["a,b", *(f"{d / 3},{form.format(d=d)}" for d in range(1, 29))]))
    assert found.x[:, 1].tolist() == [18262.0 + d for d in range(28)]  # days from 1970 to 2020


def test_time_zones_count(read):
    lines = [f"{d},2020-01-{d:02d}T12:00{'+02:00' if d % 2 else 'Z'}" for d in range(1, 29)]
    hours = 24 * (read("\n".join(["a,b", *lines])).x[:, 1] % 1)
    assert hours[:2].round(decimals=6).tolist() == [10, 12]


def test_tiny_numbers_keep_their_spread(read):
    found = read("\n".join(["a,b", *(f"{i % 7},{i}e-250" for i in range(60))]))
    assert found.standardized(found.x)[:, 1].std() > 0.5


@pytest.mark.parametrize("source", ["frame", "array", "text"])
def test_marks_of_missing_values_that_are_numbers(read, source):
    import pandas as pd

    def given(x):
        return pd.DataFrame(x, columns=["a", "b"]) if source == "frame" else x

    x = np.arange(120.0).reshape(60, 2)
    x[7, 1] = -999
    if source == "text":
        found = read("\n".join(["a,b", *(f"{a},{b:.1f}" for a, b in x)]), missing="-999")
    else:
        found = tables.from_memory(given(x), missing="-999")
        x[9, 0] = np.nan
        with pytest.raises(InputError, match=r"missing_value nan|expected finite"):
            tables.from_memory(given(x), missing="-999")
        assert len(tables.from_memory(given(x), missing="-999,NA")) == 58
    assert (len(found), found.x.min().item()) == (59, 0)


def test_whole_numbers_beyond_float64_are_refused():
    x = np.stack([2**60 + np.arange(40), np.arange(40)], 1)
    with pytest.raises(InputError, match="at most 16 digits"):
        tables.from_memory(x)
    assert len(tables.from_memory(np.stack([np.full(40, 2**60), np.arange(40)], 1))) == 40
