"""Tables and labels as people have them: separators, headers, forms of numbers, missing values, DataFrames."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from absynth.data import open
from absynth.data.sets import empty
from absynth.data.tables import csv_table
from absynth.errors import InputError

ROWS = [(round(float(a), 3), round(float(b), 3), "yes" if i % 2 else "no")
        for i, (a, b) in enumerate(np.random.default_rng(0).normal(size=(60, 2)))]  # fmt: skip


@pytest.fixture
def read(tmp_path: Path):
    """Write a table and read it."""

    def call(text: str | bytes, name: str = "t.csv", **options):
        (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return csv_table(tmp_path / name, **options)

    return call


def table(line, head: str = "a,b,y\n") -> str:
    return head + "".join(line(i, *row) + "\n" for i, row in enumerate(ROWS))


def same(found) -> None:
    """The table is that of ROWS."""
    assert found.classes == ("no", "yes")
    assert found.y.tolist() == [i % 2 for i in range(60)]
    assert found.x.dtype == torch.float64
    assert found.x.tolist() == [[a, b] for a, b, _ in ROWS]


# --- separators and headers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " ", "  "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends(read, separator, end):
    text = table(lambda i, a, b, y: separator.join((str(a), str(b), y)), separator.join("aby") + "\n")
    found = read(text.replace("\n", end), "t.txt")
    same(found)
    assert found.columns == ("a", "b")


@pytest.mark.parametrize(
    "form", ["sep", "comment", "numpy", "index", "trailing", "bom", "utf-16", "quoted", "gzip", "blank lines"]
)
def test_what_programs_add(read, form):
    import gzip

    line = lambda i, a, b, y: f"{a},{b},{y}"  # noqa: E731
    text: str | bytes = table(line)
    if form == "sep":
        text = "sep=;\n" + text.replace(",", ";")
    elif form == "comment":
        text = "# made by a machine, on a day, of a week, with care\n" + text
    elif form == "numpy":
        text = table(lambda i, a, b, y: f"{a} {b} {y}", "# a b y\n")
    elif form == "index":
        text = table(lambda i, a, b, y: f"{i},{a},{b},{y}", ",a,b,y\n")
    elif form == "trailing":
        text = table(lambda i, a, b, y: f"{a},{b},{y},", "a,b,y,\n")
    elif form == "bom":
        text = text.encode("utf-8-sig")
    elif form == "utf-16":
        text = text.encode("utf-16")
    elif form == "quoted":
        text = table(lambda i, a, b, y: f'"{a}","{b}"," {y} "', '"a","b","y"\n')
    elif form == "gzip":
        text = gzip.compress(text.encode())
    elif form == "blank lines":
        text = text.replace("\n", "\n\n")
    found = read(text)
    same(found)
    assert found.columns == ("a", "b")


def test_without_a_header(read):
    found = read(table(lambda i, a, b, y: f"{a},{b},{y}", ""))
    same(found)
    assert found.columns == ("x0", "x1")
    assert found.notes[0] == "no header: columns are called x0 to x2"


def test_a_line_of_another_length_is_named_where_it_stands_in_the_file(read):
    text = 'a,b,y\n1,"two\nlines",no\n\n3,4\n'
    with pytest.raises(InputError, match=r"line 5: expected 3 cells apart by ',' as in the header, got 2"):
        read(text)


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00broken", b"a,b\n1,\x00\n", b"\x80abc", b"", b"a,b\n"])
def test_what_is_no_table(read, raw):
    with pytest.raises(InputError) as error:
        read(raw)
    assert "\n" not in str(error.value)


# --- numbers --------------------------------------------------------------------------------------------------------


def test_decimal_commas(read):
    dotted = lambda v: str(v).replace(".", ",")  # noqa: E731
    same(read(table(lambda i, a, b, y: f"{dotted(a)};{dotted(b)};{y}", "a;b;y\n")))
    same(read(table(lambda i, a, b, y: f'"{dotted(a)}","{dotted(b)}",{y}')))


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1,500,000", 1_500_000), ("1.500.000,5", 1_500_000.5), ("1 500 000", 1_500_000), ("1'500'000.5", 1_500_000.5),
        ("1\u202f500", 1500), ("12 %", 12), ("$1,500.25", 1500.25), ("−3.5", -3.5), ("1e3", 1000), ("+.5", 0.5),
    ],
)  # fmt: skip
def test_forms_of_numbers(read, cell, value):
    found = read(table(lambda i, a, b, y: f"{cell};{i};{y}", "a;b;y\n"))
    assert found.columns == ("a", "b")
    assert found.x[:, 0].unique().tolist() == [value]


def test_a_comma_that_may_be_either_is_refused_unless_another_column_decides(read):
    line = lambda i, a, b, y: f'"{i + 1},500",{b},{y}'  # noqa: E731
    with pytest.raises(InputError, match=r"column 'a': .1,500. may be 1\.500 or 1500"):
        read(table(line))
    both = read(table(lambda i, a, b, y: f"{i + 1},500;0,5;{y}", "a;b;y\n"))
    assert both.x[:2].tolist() == [[1.5, 0.5], [2.5, 0.5]]
    thousands = read(table(lambda i, a, b, y: f'"{i + 1},500","1,000.5",{y}'))
    assert thousands.x[:2].tolist() == [[1500, 1000.5], [2500, 1000.5]]
    dots = read(table(lambda i, a, b, y: f"{i + 1}.500;0,5;{y}", "a;b;y\n"))
    assert dots.x[:2].tolist() == [[1500, 0.5], [2500, 0.5]]  # in such a file a dot sets off thousands


def test_large_offsets_keep_their_spread(read):
    found = read(table(lambda i, a, b, y: f"{1e8 + a},{1_700_000_000 + 3 * i},{y}"))
    rows = found.standardized(found.x)
    assert len(rows[:, 0].unique()) >= 55
    assert len(rows[:, 1].unique()) == 60
    assert (rows.std(0) - 1).abs().max() < 0.2


def test_a_constant_column_of_any_size_is_zero(read):
    found = read(table(lambda i, a, b, y: f"{a},0.1,{y}"))
    assert (found.standardized(found.x)[:, 1] == 0).all()


@pytest.mark.parametrize("cell", ["1e300", "-1e300", "inf", "-inf", "Infinity"])
def test_numbers_out_of_range_are_named(read, cell):
    with pytest.raises(InputError, match=r"line 9, column 'a': expected a number of at most 1e\+100, got"):
        read(table(lambda i, a, b, y: f"{cell if i == 7 else a},{b},{y}"))


@pytest.mark.parametrize(
    ("line", "first"),
    [
        (lambda i: f"2024-01-{i + 1:02d}", 19723), (lambda i: f"2024-01-01T{i % 24:02d}:30:00", 19723 + 0.5 / 24),
        (lambda i: f"{i % 28 + 1}.01.2024", 19723), (lambda i: f"01/{i % 28 + 1}/2024", 19723),
    ],
)  # fmt: skip
def test_dates_are_days(read, line, first):
    found = read(table(lambda i, a, b, y: f"{line(i % 28)},{b},{y}"))
    assert found.columns == ("a", "b")
    assert found.x[0, 0] == pytest.approx(first, abs=1e-9)
    assert "days since 1970 in a" in found.notes


def test_dates_that_may_be_either_are_refused(read):
    with pytest.raises(InputError, match="may begin with the day or the month"):
        read(table(lambda i, a, b, y: f"{i % 12 + 1}/{i % 9 + 1}/2024,{b},{y}"))


# --- missing values and bad cells -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["NA", "nan", "NaN", "?", "null", "N/A", "#N/A", "", "-", "x12"])
def test_one_bad_cell_is_named_and_never_makes_a_column_of_words(read, mark):
    text = table(lambda i, a, b, y: f"{mark if i == 7 else a},{b},{y}")
    with pytest.raises(InputError, match="line 9, column 'a': 1 of 60 values are") as error:
        read(text)
    flag = mark or "empty"
    assert f'("{mark}")' in str(error.value)
    assert f"missing_value {flag} leaves such rows out" in str(error.value).replace("=", " ")
    found = read(text, missing=flag)  # the advice works
    assert len(found) == 59
    assert found.columns == ("a", "b")
    assert "1 of 60 rows left out (missing values)" in found.notes
    kept = [i for i in range(60) if i != 7]
    assert found.y.tolist() == [i % 2 for i in kept]
    assert found.x[:, 0].tolist() == [ROWS[i][0] for i in kept]


def test_missing_words(read):
    text = table(lambda i, a, b, y: f"{'?' if i == 3 else 'uvw'[i % 3]},{b},{y}")
    with pytest.raises(InputError, match=r"line 5, column 'a': 1 of 60 values are missing"):
        read(text)
    assert read(text, missing="?").columns == ("a=u", "a=v", "a=w", "b")


def test_names_and_free_text_are_refused(read):
    with pytest.raises(InputError, match="column 'a' holds 60 different words in 60 rows, such as 'n0'"):
        read(table(lambda i, a, b, y: f"n{i},{b},{y}"))


def test_many_rows_and_words_take_seconds(read):
    rows = np.random.default_rng(0).normal(size=30_000)
    text = "a,b,y\n" + "".join(f"{v:.4f},w{i % 200},{'no' if i % 2 else 'yes'}\n" for i, v in enumerate(rows))
    begun = time.perf_counter()
    assert len(read(text).columns) == 201
    assert time.perf_counter() - begun < 10  # quadratic time would be minutes


# --- classes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["-1", "NaN", "nan", "?", "", "NA", "null", "unlabelled"])
def test_marks_of_unlabelled_rows(read, mark):
    found = read(table(lambda i, a, b, y: f"{a},{b},{mark if i % 3 else y}"))
    assert found.classes == ("no", "yes")
    assert (found.y == -1).sum() == 40
    assert any("40 unlabelled" in note for note in found.notes)
    assert len(found.rows("test")) == 4  # unlabelled rows all train


def test_minus_one_is_a_class_beside_one(read):
    assert read(table(lambda i, a, b, y: f"{a},{b},{2 * (i % 2) - 1}")).classes == ("-1", "1")
    found = read(table(lambda i, a, b, y: f"{a},{b},{i % 3 - 1}"))
    assert found.classes == ("0", "1")


def test_which_column_holds_the_classes(read):
    assert read(table(lambda i, a, b, y: f"{a},{b},{i % 3}")).classes == ("0", "1", "2")  # it is called y
    found = read(table(lambda i, a, b, y: f"{a},{b},{i % 3}", "a,b,c\n"))
    assert found.classes == ()  # numbers in a column of any name are numbers
    assert found.columns == ("a", "b", "c")
    assert read(table(lambda i, a, b, y: f"{a},{b},{i % 3}", "a,b,c\n"), target="c").classes == ("0", "1", "2")
    assert read(table(lambda i, a, b, y: f"{a},{b},{a + b}")).classes == ()  # a quantity called y
    with pytest.raises(InputError, match="expected labels that"):
        read(table(lambda i, a, b, y: f"{a},{b},{a + b}"), target="y")


# --- data sets of tables --------------------------------------------------------------------------------------------


def test_a_labelled_table_gives_y_and_its_summary(tmp_path):
    (tmp_path / "t.csv").write_text(table(lambda i, a, b, y: f"{a},{'uvw'[i % 3]},{y if i % 4 else ''}"))
    data = open(tmp_path / "t.csv")
    batch = next(data.batches(8, seed=0))
    assert batch.y.tolist() == data.labels[batch.index].tolist()
    assert -1 in data.labels.tolist()
    assert data.summary() == (
        "t.csv: table data, 47 rows of shape 4, 2 classes (no, yes), 15 of them unlabelled, 4 for validation, 9 for "
        "test; classes in column 'y' (no, yes); 15 unlabelled (marked \"\"); 1 columns of words, one per word; columns "
        "are standardized"
    )
    again = empty(data.description())
    x = data.head(5)
    torch.testing.assert_close(again.to_original(x), data.to_original(x), rtol=0, atol=0)
    assert again.class_names == ("no", "yes")


def test_validation_share_of_a_table(tmp_path):
    (tmp_path / "t.csv").write_text(table(lambda i, a, b, y: f"{i},{b},{y}"))
    data = open(tmp_path / "t.csv", validation=0.25)
    parts = {
        part: data.split(part).to_original(data.split(part).all())[:, 0] for part in ("train", "validation", "test")
    }
    assert [len(x) for x in parts.values()] == [36, 12, 12]
    assert sorted(torch.cat(list(parts.values())).round().int().tolist()) == list(range(60))


def frame():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(
        {
            "a": [r[0] for r in ROWS],
            "when": pandas.date_range("2024-01-01", periods=60),
            "c": pandas.Categorical(["u", "v", "u"] * 20),
            "n": pandas.array([1, 2, 3] * 20, dtype="Int64"),
            "flag": [True, False] * 30,
            "y": [r[2] for r in ROWS],
        },
        index=range(100, 160),
    )


@pytest.mark.parametrize("form", ["memory", "parquet"])
def test_data_frames_and_parquet(tmp_path, form):
    source = frame()
    if form == "parquet":
        pytest.importorskip("pyarrow")
        source.to_parquet(tmp_path / "t.parquet")
        source = tmp_path / "t.parquet"
    data = open(source)
    assert data.columns == ("a", "when", "c=u", "c=v", "n", "flag=False", "flag=True")
    assert data.class_names == ("no", "yes")
    assert data.table.x[1].tolist() == [ROWS[1][0], 19724, 0, 1, 2, 1, 0]


@pytest.mark.parametrize("dtype", ["bool", "boolean", "object"])
def test_bools_are_read_from_every_form_as_from_text(dtype, tmp_path):
    """A run trained on one form scores another; a last column of bools is the classes in both."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    made = pandas.DataFrame({"a": np.arange(60.0), "on": [True, False, True] * 20, "last": [False, True] * 30})
    made.to_csv(tmp_path / "t.csv", index=False)
    typed = made.astype({"on": dtype, "last": dtype})
    typed.to_parquet(tmp_path / "t.parquet")
    text = open(tmp_path / "t.csv")
    for other in (open(tmp_path / "t.parquet"), open(typed)):
        assert (other.columns, other.class_names) == (text.columns, text.class_names)
        torch.testing.assert_close(other.table.x, text.table.x)
    torch.testing.assert_close(text.parse(tmp_path / "t.parquet"), text.parse(tmp_path / "t.csv"))


def test_no_column_holds_classes(tmp_path):
    (tmp_path / "t.csv").write_text("a,on\n" + "1,x\n2,y\n" * 30)
    assert open(tmp_path / "t.csv").columns == ("a",)
    found = open(tmp_path / "t.csv", target="none")
    assert (found.columns, found.class_names) == (("a", "on=x", "on=y"), ())
    (tmp_path / "u.csv").write_text("a,none\n" + "1,x\n2,y\n" * 30)
    assert open(tmp_path / "u.csv", target="none").class_names == ("x", "y")
    (tmp_path / "v.csv").write_text("a,on\n" + "1,x\n2,x\n" * 30)
    with pytest.raises(InputError, match=r"got \['x'\]: give target=NAME, with 'none' for"):
        open(tmp_path / "v.csv")


def test_a_column_without_values_is_to_be_removed(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,y\n" + "1,,u\n2,,v\n" * 30)
    with pytest.raises(InputError, match=r"column 'b': 60 of 60 values are missing.*or remove the column"):
        open(tmp_path / "t.csv")


def test_missing_values_of_a_data_frame_are_named():
    source = frame()
    source.loc[103, "a"] = np.nan
    with pytest.raises(InputError, match="row 3, column 'a': 1 of 60 values are missing"):
        open(source)
    assert len(open(source, missing_value="nan").table) == 59
    source = frame()
    source["n"] = source["n"].where(source["n"] != 3)
    with pytest.raises(InputError, match="row 2, column 'n': 20 of 60 values are missing"):
        open(source)


def test_a_file_that_is_no_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="expected a Parquet file"):
        open(tmp_path / "t.parquet")
    (tmp_path / "t.xlsx").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="save it as CSV"):
        open(tmp_path / "t.xlsx")


@pytest.mark.parametrize(
    "dtype", [np.float64, np.float32, np.float16, ">f8", np.int64, np.int16, np.uint16, bool, object]
)
def test_types_of_arrays(dtype):
    x = np.random.default_rng(0).integers(0, 2, (60, 3)).astype(dtype)
    data = open(x, kind="table")
    assert data.head(3).dtype == torch.float32
    expected = x.astype(np.float64)[data.index[:3].numpy()]
    torch.testing.assert_close(data.to_original(data.head(3)), torch.from_numpy(expected), rtol=1e-6, atol=1e-6)


def test_structured_arrays_and_splits_of_files(tmp_path):
    x = np.zeros(60, dtype=[("a", float), ("kind", "U4")])
    x["a"], x["kind"] = np.arange(60), ["no", "yes"] * 30
    found = open(x, kind="table", target="kind")
    assert found.columns == ("a",)
    assert found.class_names == ("no", "yes")
    rows = np.random.default_rng(0).normal(size=(30, 3))
    np.savez(
        tmp_path / "t.npz", X_train=rows[:20], y_train=np.arange(20) % 2, X_test=rows[20:], y_test=np.arange(10) % 2
    )
    data = open(tmp_path / "t.npz")
    assert [len(data), len(data.split("test"))] == [20, 10]
    torch.testing.assert_close(data.all().mean(0), torch.zeros(3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_bad_value_of_an_array_is_named(value):
    x = np.random.default_rng(0).normal(size=(60, 3))
    x[7, 1] = value
    with pytest.raises(InputError, match="in row 7, column 1"):
        open(x)


def test_an_array_is_not_copied():
    x = np.random.default_rng(0).normal(size=(600, 3))
    assert np.shares_memory(open(x).table.x.numpy(), x)


def test_the_target_of_a_regression_is_no_class():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"x": np.arange(400.0) % 7, "target": np.arange(400) % 150})
    assert open(frame).class_names == ()
    assert len(open(frame.assign(target=frame["target"] % 30)).class_names) == 30
