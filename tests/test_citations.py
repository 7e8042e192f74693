"""What to cite: every method has its paper, and what is printed is BibTeX."""

from __future__ import annotations

import re

import pytest

from absynth import citations, cli, recipes

METHODS = recipes.methods()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_paper(method):
    found = citations.of_method(method)
    assert method in found[0].methods  # its own paper first
    for entry in found:
        assert {"author", "title", "year"} <= entry.fields.keys()
        assert {"url", "doi", "eprint"} & entry.fields.keys()


def test_entries_are_well_formed():
    keys = [entry.key for entry in citations.entries()]
    assert len(set(keys)) == len(keys)
    for entry in citations.entries():
        assert {*entry.methods, *entry.background} <= set(METHODS), entry.key
        assert re.fullmatch(r"(19|20)\d\d", entry.fields["year"])
        for value in entry.fields.values():
            assert value
            assert value.count("{") == value.count("}")
        assert re.fullmatch(r"\d{4}\.\d{4,5}", entry.fields.get("eprint", "1234.5678"))
        assert all(re.match(r"[^,]+, \S", name) for name in entry.fields["author"].split(" and ") if name[0] != "{")


def test_cite_prints_the_papers_of_methods_once(capsys):
    cli.main(["cite", "dual_teaching", "cooperative"])
    said = capsys.readouterr().out
    assert re.findall(r"^@\w+\{(\w+),$", said, re.MULTILINE) == ["cui2023dual", "xie2018cooperative"]
    assert "keywords" not in said
    cli.main(["cite"])
    assert capsys.readouterr().out.startswith("@software{absynth,")
    with pytest.raises(SystemExit):
        cli.main(["cite", "dual_teeching"])
    assert "nearest: dual_teaching" in capsys.readouterr().err
