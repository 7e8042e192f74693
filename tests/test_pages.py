"""README and docs: printed commands are accepted, links lead somewhere, every method has its page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from absynth import recipes, tasks
from absynth.cli import COMMANDS
from absynth.cli.parser import Parser
from absynth.cli.train import _parser
from absynth.data.sets import SETS
from absynth.experiments import harness

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "GLOSSARY.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
OWN = (".", "/", "~", "$")
"""How a path begins, or a shell variable."""


def commands(page: Path) -> list[str]:
    """Every absynth command that a page prints, in blocks and in the text."""
    text = page.read_text()
    blocks = re.findall(r"^(?: {4})?(?:\$ )?(absynth [a-z_]+(?: [^\n#]*)?$)", text, flags=re.M)
    inline = re.findall(r"`(absynth [^`\n]+)`", text)
    found = (line.split("#")[0].split("  ")[0].strip() for line in [*blocks, *inline])
    return [
        line for line in found if not re.search(r"\b(METHOD|NAME)\b", line) and "TASK" not in line and "..." not in line
    ]


ALL = [(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in dict.fromkeys(commands(page))]


@pytest.mark.parametrize(("page", "line"), ALL, ids=lambda v: str(v)[:80])
def test_a_printed_command_is_accepted(page: str, line: str):
    _, name, *rest = shlex.split(line)
    if name == "train" and rest and rest[0] not in ("--help", "-h"):
        method, *flags = rest
        by_kind = recipes.classes(method)
        given = _parser(method, by_kind).read([f for f in flags if f != "--help"], defaults=False)
        data, preset = given.get("data", ""), given.get("preset", "")
        if data and "." not in data and not data.startswith(OWN) and data.lower() == data:
            assert SETS[data].kind in by_kind, f"{method} does not take {data}"
        known = {key for cls in by_kind.values() for key in recipes.presets(cls)}
        assert not preset or preset in known or f"{data}/{preset}" in known
    elif name == "reproduce" and rest:
        assert rest[0] in harness.names()
    elif name in tasks.tasks():
        parser = Parser(f"absynth {name}")
        parser.add_function_arguments(tasks.find(name).command, as_positional=True)
        parser.add_argument("--json", action="store_true")
        if rest:
            parser.read([f for f in rest if f != "--help"])
    else:
        assert name in COMMANDS or name.startswith("--"), f"{page} prints the command {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_method_has_a_page_and_a_row():
    pages = {page.stem for page in (ROOT / "docs" / "methods").glob("*.md")}
    assert sorted(set(recipes.methods()) - pages) == []
    readme = (ROOT / "README.md").read_text()
    assert [m for m in recipes.methods() if f"`{m}`" not in readme] == []


def test_nothing_else_names_the_methods():
    """A method is an algorithm, a recipe, a conformance line and a page: no list elsewhere needs its name."""
    allowed = {"recipes", "experiments", "algorithms"}
    for file in sorted((ROOT / "src" / "absynth").rglob("*.py")):
        part = file.relative_to(ROOT / "src" / "absynth").parts[0]
        if part in allowed or part == "demo.py":
            continue
        found = [m for m in recipes.methods() if re.search(rf'"{m}"', file.read_text()) and m != "frame"]  # of a video
        assert found == [], f"{file} names {found}"
