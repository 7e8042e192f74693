"""Vocabularies round trip, and the readers of published texts."""

from __future__ import annotations

import gzip

import pytest

from absynth.data import text
from absynth.data.vocabulary import CHARACTERS, END, PAD, UNKNOWN, Vocabulary, byte_pairs, most_frequent
from absynth.errors import InputError

LINES = ["the cat sat on the mat", "the dog sat", "a cat  and a dog", "on the mat the cat sat"]

# --- vocabularies ---------------------------------------------------------------------------------------------------


def test_words_round_trip_and_rank_by_frequency():
    words = Vocabulary(most_frequent(LINES, 100))
    assert words.tokens[3:6] == ("the", "cat", "sat")
    for line in LINES:
        assert words.decode(words.encode(line)) == " ".join(line.split())
    assert words.encode("the zebra")[1:] == [UNKNOWN, END]
    assert len(Vocabulary(most_frequent(LINES, 5))) == 5


def test_a_texts_own_unk_is_the_unknown_token_and_pad_is_never_read_from_text():
    words = Vocabulary(most_frequent(["a <unk> <pad> b", "<end>"], 50))
    assert words.tokens[3:] == ("a", "b")
    assert words.encode("a <unk> <pad> <end>") == [3, UNKNOWN, UNKNOWN, UNKNOWN, END]


def test_characters_round_trip():
    v = Vocabulary(most_frequent(["C(=O) N\n"], 50, pattern=CHARACTERS), pattern=CHARACTERS, join="")
    assert v.decode(v.encode("N(=O)C C")) == "N(=O)C C"
    assert v.encode("X")[0] == UNKNOWN


def test_byte_pairs_round_trip_and_are_rebuilt_from_what_a_recipe_records():
    pytest.importorskip("tokenizers")
    tokens, merges = byte_pairs(LINES * 5, 40)
    v = Vocabulary(tokens, merges=merges)
    assert len(v) <= 40
    assert len(set(map(len, map(v.split, ["the", "cat the the"])))) == 2
    for line in ["the cat sat on the mat", "the dog and that moth"]:
        assert v.decode(v.encode(line)) == line
        assert UNKNOWN not in v.encode(line)
    assert UNKNOWN in v.encode("cat %")
    assert v.split("the")[0] == "▁the", "a frequent word is one token"


def test_rows_are_padded_and_long_lines_left_out_or_cut():
    words = Vocabulary(most_frequent(LINES, 100))
    rows = words.rows(["the cat", "the cat sat on the mat", ""], 4)
    assert rows.tolist() == [[*words.encode("the cat"), PAD]]
    cut = words.rows(["the cat sat on the mat"], 4, keep_long=True)
    assert words.texts(cut) == ["the cat sat on"]
    assert END not in cut


@pytest.mark.parametrize(
    ("do", "match"),
    [
        (lambda: Vocabulary(["a", "a"]), "twice"),
        (lambda: most_frequent(LINES, 3), "more than the 3 special"),
        (lambda: Vocabulary(["a"]).rows(["a a a a"], 3), "1 to 2 tokens, got none"),
    ],
)
def test_bad_vocabularies_are_one_line(do, match):
    with pytest.raises(InputError, match=match) as error:
        do()
    assert "\n" not in str(error.value)


# --- readers --------------------------------------------------------------------------------------------------------


def test_a_users_file_holds_every_tenth_line_out(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("\n".join(f"line  {i}" for i in range(1, 31)) + "\n\n")
    assert text.text_file(path, "test").lines == ["line 10", "line 20", "line 30"]
    assert len(text.text_file(path, "train")) == 27
    zipped = tmp_path / "mine.txt.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert text.text_file(zipped, "train").lines == text.text_file(path, "train").lines


def test_bad_files_are_one_line(tmp_path):
    few, binary, cut = tmp_path / "few.txt", tmp_path / "b.txt", tmp_path / "c.txt.gz"
    few.write_text("one\ntwo\n")
    binary.write_bytes(b"\x80\x00\xff")
    cut.write_bytes(gzip.compress(b"a\n" * 100)[:20])
    for path, match in (
        (few, "at least 10"),
        (binary, "utf-8"),
        (cut, "utf-8"),
        (tmp_path / "no", "none at"),
    ):
        with pytest.raises(InputError, match=match) as error:
            text.text_file(path, "train")
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"ptb not found: expected ptb\.train\.txt"):
        text.ptb(tmp_path, "train")


def test_labelled_sets_and_dialogues(tmp_path):
    (tmp_path / "sentiment.dev.0.txt").write_text("bad .\nworse .\n")
    (tmp_path / "sentiment.dev.1.txt").write_text("good .\n")
    found = text.yelp(tmp_path, "valid")
    assert (found.lines, found.labels.tolist()) == (["bad .", "worse .", "good ."], [0, 0, 1])
    (tmp_path / "test.csv").write_text('"3","A, title","two\\lines"\n')
    assert text.ag_news(tmp_path, "test").lines == ["A, title two lines"]
    assert text.ag_news(tmp_path, "test").labels.tolist() == [2]
    (tmp_path / "validation.txt").write_text("Hi . __eou__ Ho ! __eou__\n")
    assert text.dialogues(tmp_path, "valid") == [["Hi .", "Ho !"]]
    (tmp_path / "train.csv").write_text('"9","x"\n')
    with pytest.raises(InputError, match=r"line 1: expected a class 1 to 4"):
        text.ag_news(tmp_path, "train")


def test_penn_treebank_is_the_complete_one(data_root):
    assert [len(text.ptb(data_root, split)) for split in ("train", "valid", "test")] == [42068, 3370, 3761]
