"""Text and SMILES as people have them: line ends, what is left out, the column of molecules."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch

from absynth.data import open, text
from absynth.data.lines import read_lines
from absynth.data.molecules import smiles_file
from absynth.data.sets import empty
from absynth.data.smiles import is_smiles, looks_like_smiles
from absynth.data.text_set import SmilesSet, TextSet
from absynth.errors import InputError

MOLECULES = ["CCO", "c1ccccc1", "CC(=O)[O-]", "C[C@@H](N)C(=O)O", "ClCCBr", "O=C1CCCN1", "CCN", "CCCl", "C1CC1", "CCCC",
             "CNC", "OCCO"] * 3  # fmt: skip


# --- text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("inside", ["\u2028", "\u2029", "\x85", "\x0c", "\x0b", "\x1c", "\x1d", "\x1e"])
def test_only_real_line_ends_end_lines(tmp_path, end, inside):
    path = tmp_path / "t.txt"
    path.write_bytes(end.join(f"one{inside}two {i}" for i in range(20)).encode())
    assert len(text.text_file(path, "train")) + len(text.text_file(path, "test")) == 20
    assert len(read_lines(path)) == 20


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path, encoding):
    path = tmp_path / "t.txt"
    path.write_bytes("".join(f"größer {i}\n" for i in range(20)).encode(encoding))
    assert text.text_file(path, "train").lines[0] == "größer 0"
    (tmp_path / "z.txt.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert text.text_file(tmp_path / "z.txt.gz", "train").lines[0] == "größer 0"


@pytest.mark.parametrize("raw", [b"\xff" * 40, b"a\0b\n" * 20, b"", b"one\n" * 9, b"\n" * 50, b"\x1f\x8b" + b"x" * 9])
def test_what_is_no_text(tmp_path, raw):
    (tmp_path / "t.txt").write_bytes(raw)
    with pytest.raises(InputError) as error:
        text.text_file(tmp_path / "t.txt", "train")
    assert "\n" not in str(error.value)
    assert "t.txt" in str(error.value)


def test_what_is_left_out_is_counted_and_said(tmp_path):
    lines = [" ".join(["word"] * (50 if i % 10 == 3 else 5)) for i in range(200)]
    (tmp_path / "t.txt").write_text("\n\n".join(lines) + "\n")
    data = open(tmp_path / "t.txt")
    assert isinstance(data, TextSet)
    assert "199 empty lines left out" in data.notes
    assert "20 of 180 sentences left out (longer than 40 tokens; length keeps more)" in data.summary()
    assert len(data) == 160
    unknown = open([f"word{i} the the the" for i in range(100)], vocabulary_size=4)
    assert "25.0% of tokens are not in the vocabulary" in unknown.summary()
    assert not open(["the same"] * 20).notes


def test_lines_without_a_token_are_counted():
    data = open(["123 456"] * 5 + ["letters here"] * 20, unit="letters")
    assert "of 23 sentences left out (no token in them)" in data.summary()
    assert (data.rows > 0).any(1).all()


@pytest.mark.parametrize("unit", ["word", "character", "letters"])
def test_a_vocabulary_is_rebuilt_without_the_text(unit):
    data = open([f"some words number {i}" for i in range(40)], unit=unit, length=60)
    again = empty(data.description())
    assert again.vocabulary.tokens == data.vocabulary.tokens
    line = data.vocabulary.texts(data.head(1))
    assert torch.equal(again.encode(line), data.encode(line))
    assert again.token_unit == unit


def test_validation_of_text_is_part_of_training():
    lines = [f"line {i}" for i in range(100)]
    plain, data = open(lines), open(lines, validation=0.2)
    texts = {part: set(data.split(part).lines) for part in ("train", "validation", "test")}
    assert len(texts["validation"]) == 18
    assert texts["train"] | texts["validation"] == set(plain.lines)
    assert not texts["train"] & texts["validation"]
    assert texts["test"] == set(plain.split("test").lines)


# --- SMILES ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    [
        *MOLECULES[:12],
        "[Na+].[Cl-]",
        "F/C=C/F",
        "C%12CC%12",
        "[13CH4]",
        "[Fe++]",
        "C[C@@H](F)Cl",
        "[CH3:1]O",
        "c1cc2c(cc1)OCO2",
        "*CC",
    ],
)
def test_molecules(word):
    assert is_smiles(word)


@pytest.mark.parametrize(
    "word",
    ["", "ZINC00001", "mol0", "id", "0", "12", "1.5", "C1CC", "C(C", "CC)", "C()C", "C-", "-C",
      "C!C", "[C", "CHEMBL25", "name", "active", "C>>O", "C~C", "[#6]", "[C;H1]", "[Branch1][C]", "[C,N]"]
)  # fmt: skip
def test_what_is_no_molecule(word):
    assert not is_smiles(word)


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("", "{s}"),
        ("", "{s} ZINC{i:08d}"),
        ("", "{s}\tmol{i}\t1.5"),
        ("", "ZINC{i:08d} {s}"),
        ("", "{i},{s},{i}.5"),
        ("smiles", "{s}"),
        ("SMILES ID", "{s} mol{i}"),
        ("id,smiles", "mol{i},{s}"),
        (",smiles,logP", "{i},{s},0.5"),
        ("zinc_id;canonical_smiles;y", "Z{i};{s};1"),
        ("name\tmol", "n{i}\t{s}"),
        ('"id","structure"', '"mol, {i}","{s}"'),
        ("id,compound", "m{i},{s}"),
        ("# a comment\nsmiles", "{s}"),
        ("# a comment", "{s}"),
    ],
)
def test_the_column_of_smiles_is_found(tmp_path, head, line):
    path = tmp_path / "m.csv"
    body = [line.format(s=s, i=i) for i, s in enumerate(MOLECULES)]
    path.write_text("\n".join(([head] if head else []) + body) + "\n")
    found = [smiles_file(path, part).lines for part in ("train", "test")]
    assert sorted(found[0] + found[1]) == sorted(MOLECULES)
    assert found[1] == MOLECULES[9::10]


def test_a_column_is_chosen_by_name(tmp_path):
    (tmp_path / "m.csv").write_text("smiles,product\n" + "".join(f"CCO,{s}\n" for s in MOLECULES))
    assert smiles_file(tmp_path / "m.csv", "train", column="product").lines[1] == "c1ccccc1"
    assert open(tmp_path / "m.csv", kind="smiles", column="product").lines[1] == "c1ccccc1"
    with pytest.raises(InputError, match="expected a column 'educt'"):
        smiles_file(tmp_path / "m.csv", "train", column="educt")


def test_names_alone_are_refused(tmp_path):
    (tmp_path / "m.smi").write_text("".join(f"ZINC{i:08d}\n" for i in range(40)))
    with pytest.raises(InputError, match="expected a SMILES in some column, got 'ZINC00000000'"):
        smiles_file(tmp_path / "m.smi", "train")


@pytest.mark.parametrize(
    ("line", "says"),
    [("{s}>>{s}", "save the molecules of a reaction in lines"), ("InChI=1S/CH4/h1H4", "convert InChI to SMILES"),
     ("{even}", "expected a SMILES in most lines of some column, got 3"), ("word", "name the column with column")],
)  # fmt: skip
def test_files_without_molecules_say_what_to_do(tmp_path, line, says):
    lines = [line.format(s=s, even=s if i % 3 == 0 else "words") for i, s in enumerate(MOLECULES)]
    (tmp_path / "m.smi").write_text("\n".join(lines))
    with pytest.raises(InputError, match=says):
        open(tmp_path / "m.smi", skip_broken=True)


def test_a_few_lines_are_counted_more_are_refused(tmp_path):
    path = tmp_path / "m.smi"
    path.write_text("\n".join([*MOLECULES, "not_one", *MOLECULES]))
    found = smiles_file(path, "train")
    assert found.notes == ("1 of 73 lines left out (no molecules, the first in line 37)",)
    assert found.notes[0] in open(path).summary()
    path.write_text("\n".join([*MOLECULES, *["not_one"] * 9]))
    with pytest.raises(InputError, match="line 37: expected a SMILES, got 'not_one'; 9 of 45 lines are no molecules"):
        smiles_file(path, "train")
    assert len(open(path, skip_broken=True)) == 33


def test_molecules_are_rebuilt_without_the_data(tmp_path):
    (tmp_path / "m.smi").write_text("\n".join(MOLECULES))
    data = open(tmp_path / "m.smi", length=30)
    assert isinstance(data, SmilesSet)
    again = empty(data.description())
    assert isinstance(again, SmilesSet)
    assert again.encode(["CC(=O)[O-]"]).tolist() == data.encode(["CC(=O)[O-]"]).tolist()


def test_molecules_are_told_from_words():
    assert looks_like_smiles([*MOLECULES])
    assert looks_like_smiles(["id,smiles", "a,CCO", "b,CCN", "c,CC"])
    assert looks_like_smiles(["Drug_ID,Drug,Y", *(f"id{i},{s},1" for i, s in enumerate(MOLECULES[:12]))])
    assert looks_like_smiles(["mol,CID", *(f"{s},c{i}" for i, s in enumerate(MOLECULES[:12]))])
    assert not looks_like_smiles(["team,won", *(f"{'NBCPI'[i % 5]},{i}" for i in range(12))])
    assert not looks_like_smiles(["I", "I", "COCO", "no"])
    assert not looks_like_smiles(["smiles are nice", "CCO is ethanol"])
    assert not looks_like_smiles(["CC", "CO", "CN"])  # too short to tell


@pytest.mark.parametrize("name", ["zinc", "nci5k"])
def test_published_molecules_lose_none(name, data_root):
    from absynth.data import molecules, packaged

    if name == "nci5k":
        pytest.importorskip("rdkit")
    found = molecules.zinc(data_root, "test") if name == "zinc" else packaged.nci5k(Path(), "train")
    assert len(found) == {"zinc": 5000, "nci5k": 4500}[name]
    assert all(map(is_smiles, found.lines))
