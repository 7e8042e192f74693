"""Hooks of MkDocs: pages from outside of docs/, notebooks as pages, the navigation of methods, equations."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent.parent
OUTSIDE = {"GLOSSARY.md": "glossary.md", "CONTRIBUTING.md": "contributing.md"}
"""Files of the repository that are pages of the site, and the names that they have there."""
PICTURE = re.compile(r"!\[([^\]]+)\]\(([^)\s]+)\)")
LINK = re.compile(r"(?<=\]\()([^)#\s:]+)(?=[)#])")


def on_config(config: Any) -> None:
    """Fill the navigation: methods and notebooks as their own pages list them, pages without a place as guides."""
    known = str(config.nav)
    more = [page.name for page in sorted((ROOT / "docs").glob("*.md")) if f"'{page.name}'" not in known]
    for entry in config.nav:
        for title, folder in (("Methods", "methods"), ("Notebooks", "notebooks")):
            if title in entry:
                entry[title] = [f"{folder}/index.md", *listed(folder)]
        if "Guides" in entry:
            entry["Guides"] += more
    fence = {"name": "math", "class": "math", "format": equation}  # as GitHub writes them
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]


def listed(folder: str) -> list[dict[str, Any]]:
    """The pages that each row of a folder's index links to first, under its headings where there are some."""
    head, *parts = re.split(r"^## (.+)$", (ROOT / "docs" / folder / "index.md").read_text("utf-8"), flags=re.M)

    def rows(text: str) -> list[dict[str, str]]:
        found = re.findall(r"^\| \[`?([^]`]+)`?\]\((\w+)\.(?:md|ipynb)\)", text, re.M)
        return [{title: f"{folder}/{name}.md"} for title, name in found]

    return [*rows(head), *({title: rows(text)} for title, text in zip(*[iter(parts)] * 2))]


def equation(source: str, *_: Any, **__: Any) -> str:
    """A block of LaTeX as MathML, which browsers draw without a script."""
    return convert(source, display="block")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie outside of docs/, and a page for each notebook."""
    for source, name in OUTSIDE.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text("utf-8")))
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        page = File.generated(config, file.src_uri.replace(".ipynb", ".md"), content=of_notebook(file))
        files.append(page)
    return files


def of_notebook(file: File) -> str:
    """A notebook's cells as Markdown, under its own title."""
    cells = json.loads(file.content_string)["cells"]
    title, *rest = ("".join(cell["source"]) if cell["cell_type"] == "markdown" else code(cell) for cell in cells)
    return "\n\n".join([title, f"[Download the notebook]({Path(file.src_uri).name})", *rest])


def code(cell: dict[str, Any]) -> str:
    """A cell of code as a block."""
    return f"```python\n{''.join(cell['source'])}\n```"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links between files of the repository become links between pages; the gallery gets the pictures of all pages."""
    if page.file.src_uri == "gallery.md":
        markdown += more_pictures(markdown)
    outside = {name: source for source, name in OUTSIDE.items()}
    place = ROOT / outside[page.file.src_uri] if page.file.src_uri in outside else ROOT / "docs" / page.file.src_uri

    def of_site(match: re.Match) -> str:
        target = Path(os.path.normpath(place.parent / match[1]))
        try:
            name = target.relative_to(ROOT).as_posix()
        except ValueError:
            return match[1]
        name = {"README.md": "index.md", **OUTSIDE}.get(name, name.removeprefix("docs/"))
        if name.endswith(".ipynb") and page.file.src_uri != name.replace(".ipynb", ".md"):
            name = name.replace(".ipynb", ".md")
        name = f"{name}/index.md" if files.get_file_from_path(f"{name}/index.md") else name
        if files.get_file_from_path(name) is None:
            return match[1]
        return Path(os.path.relpath(name, Path(page.file.src_uri).parent)).as_posix()

    return LINK.sub(of_site, markdown)


def more_pictures(gallery: str) -> str:
    """Pictures of other pages that the gallery does not show itself, each with its text and a link to its page."""
    docs = ROOT / "docs"
    shown = {(docs / target).resolve() for _, target in PICTURE.findall(gallery)}
    parts = []
    for page in sorted(docs.rglob("*.md")):
        text = page.read_text("utf-8")
        for said, target in PICTURE.findall(text):
            file = (page.parent / target).resolve()
            if file not in shown:
                shown.add(file)
                title = text.partition("\n")[0].removeprefix("# ")
                parts.append(f"![{said}]({file.relative_to(docs).as_posix()})\n\n[{title}]({page.relative_to(docs)})")
    return "\n\n".join(["\n\n## More", *parts]) if parts else ""
