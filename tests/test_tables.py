"""Tables: what is read from a file, what is refused, and how rows are divided."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from absynth.data.tables import Table, arrays_table, carried, csv_table
from absynth.errors import InputError

TEXT = """age,city,income,grade
30,Bern,1.5,b
41,Rome,2.5,a
25,Bern,0.5,
33,Oslo,1e3,b
"""


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(TEXT)
    return path


def test_words_become_columns_and_an_empty_class_is_unknown(mine):
    found = csv_table(mine)
    assert found.columns == ("age", "city=Bern", "city=Oslo", "city=Rome", "income")
    assert found.classes == ("a", "b")
    assert found.y.tolist() == [1, 0, -1, 1]
    expected = [[30, 1, 0, 0, 1.5], [41, 0, 0, 1, 2.5], [25, 1, 0, 0, 0.5], [33, 0, 1, 0, 1000]]
    assert found.x.tolist() == expected
    assert repr(found) == "Table(mine.csv: 4 rows of 5 columns, 2 classes, 1 row without)"


def test_any_column_may_hold_the_classes(mine):
    with pytest.raises(InputError, match=r"line 4, column 'grade': 1 of 4 values are missing"):
        csv_table(mine, "city")  # a cell is empty that is no class
    mine.write_text(TEXT.replace("0.5,", "0.5,a"))
    found = csv_table(mine, "city")
    assert found.classes == ("Bern", "Oslo", "Rome")
    assert found.columns == ("age", "income", "grade=a", "grade=b")


def test_classes_that_are_numbers_stand_in_their_order(tmp_path):
    path = tmp_path / "n.csv"
    path.write_text("x,y\n0,10\n1,9\n2,9\n")
    assert csv_table(path).classes == ("9", "10")


def test_a_second_file_is_read_as_the_first(mine, tmp_path):
    like = csv_table(mine)
    path = tmp_path / "more.csv"
    path.write_text("income,city,age\n7,Rome,50\n")
    found = csv_table(path, like=like)
    assert found.x.tolist() == [[50, 0, 0, 1, 7]]
    assert found.y.tolist() == [-1]
    path.write_text("income,city,age\n7,Paris,50\n")
    with pytest.raises(InputError, match=r"line 2, column 'city': expected one of .*Bern.*, got 'Paris'"):
        csv_table(path, like=like)
    path.write_text("income,age\n7,50\n")
    with pytest.raises(InputError, match="expected a column 'city'"):
        csv_table(path, like=like)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x,y\n1,a\n,b\n", "line 3, column 'x': 1 of 2 values are missing .*missing_value empty"),
        ("x,y\n1,a\n2\n", "line 3: expected 2 cells apart by ',' as in the header, got 1"),
        ("x,y\n1,a\n2,a\n", "expected two classes or more in column 'y', got \\['a'\\]"),
        ("x,x\n1,a\n2,b\n", "a name of its own for each column"),
        ("x,y\n", "expected a header and rows"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(text, says, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=says) as error:
        csv_table(path)
    assert "\n" not in str(error.value)


def test_a_target_that_is_not_there_is_refused(mine):
    with pytest.raises(InputError, match="expected a column 'colour'"):
        csv_table(mine, "colour")


def test_arrays(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, X=np.eye(4), y=np.array([5, 5, 7, 5]))
    found = arrays_table(path)
    assert found.classes == ("5", "7")
    assert found.y.tolist() == [0, 0, 1, 0]
    np.savez(path, X=np.eye(4), y=np.zeros(3))
    with pytest.raises(InputError, match="expected arrays X"):
        arrays_table(path)


def test_parts_are_disjoint_and_unlabelled_rows_all_train():
    y = torch.arange(100) % 3 - 1
    table = Table(torch.zeros(100, 1), y, ("x",), ("a", "b"), "t")
    parts = {part: set(table.rows(part).tolist()) for part in ("train", "valid", "test")}
    known = int((y >= 0).sum())
    assert len(parts["test"]) == known // 5
    assert len(parts["valid"]) == known // 10
    assert parts["train"] | parts["valid"] | parts["test"] == set(range(100))
    assert sum(map(len, parts.values())) == 100
    assert all(y[i] >= 0 for i in parts["test"] | parts["valid"])


def test_standardized_by_the_training_rows_alone():
    table = carried("wine")
    train = table.standardized(table.x[table.rows("train")])
    torch.testing.assert_close(train.mean(0), torch.zeros(13), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.std(0), torch.ones(13))
    test = table.standardized(table.x[table.rows("test")])
    assert test.mean(0).abs().max() > 0.05  # they are not standardized by themselves


def test_a_constant_column_is_zero():
    table = Table(torch.tensor([[3.0, 1.0]] * 6 + [[3.0, 2.0]] * 6), torch.arange(12) % 2, ("a", "b"), ("0", "1"), "t")
    x = table.standardized(table.x)
    assert (x[:, 0] == 0).all()
    assert x[:, 1].abs().min() > 0.1


def test_an_unknown_table_is_refused():
    with pytest.raises(InputError, match="got 'iris'"):
        carried("iris")
