"""The site: every page is in the navigation, every picture has a text, no page asks another host for anything."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}
"""Elements that a browser loads something for, and the attribute that says what."""


def listed(page: Path) -> list[str]:
    """What each row of a table links to first."""
    return re.findall(r"^\| \[[^]]+\]\((\w+\.\w+)\)", page.read_text(), flags=re.M)


def navigation(entry) -> list[str]:
    """Every page of a part of the navigation."""
    if isinstance(entry, str):
        return [entry]
    return [page for part in (entry.values() if isinstance(entry, dict) else entry) for page in navigation(part)]


def test_the_navigation_names_each_page_once():
    pages = navigation(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert len(pages) == len(set(pages))
    written = {page.relative_to(DOCS).as_posix() for page in PAGES}
    assert set(pages) <= written | {"glossary.md", "contributing.md"}
    assert {page for page in written if page.startswith("reference/")} <= set(pages)


@pytest.mark.parametrize(("folder", "suffix"), [("methods", "*.md"), ("notebooks", "*.ipynb")])
def test_an_index_lists_its_folder_once(folder, suffix):
    files = {file.name for file in (DOCS / folder).glob(suffix)} - {"index.md"}
    assert sorted(listed(DOCS / folder / "index.md")) == sorted(files)


def test_every_picture_is_shown_with_a_text():
    shown = set()
    for page in [ROOT / "README.md", *PAGES]:
        for text, target in PICTURE.findall(page.read_text()):
            shown.add((page.parent / target).resolve())
            assert len(text) > 10, f"{page.name}: {target} needs a text that says what it shows"
    assert {file.resolve() for kind in ("*.png", "*.gif") for file in DOCS.rglob(kind)} <= shown


class Page(HTMLParser):
    """What a page loads, links to and defines."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.without_text: list[str] = []
        self.title = self.width = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag in LOADED and found.get(LOADED[tag]):
            self.loads.append(found[LOADED[tag]])
        if tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload", "preconnect", "dns-prefetch"):
            self.loads.append(found["href"])
        if tag == "img" and not found.get("alt"):
            self.without_text.append(found["src"])
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag == "meta" and found.get("name") == "viewport":
            self.width = found["content"]
        self.names.update(v for k, v in found.items() if k in ("id", "name") and v)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built as CI builds it."""
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "WARNING" not in done.stderr
    return folder


@pytest.mark.slow
def test_the_built_site(site):
    """No request to another host, no dead link, a text for every picture, a viewport for phones."""
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 60
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        assert not [url for url in page.loads if urlsplit(url).netloc], f"{name} loads from another host"
        assert page.without_text == [], f"{name} has pictures without a text"
        assert "width=device-width" in page.width
        for link in [*page.links, *page.loads]:
            url = urlsplit(link)
            if url.scheme or url.netloc or name == "404.html":
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{name} links to {link}"
            if url.fragment and target.suffix == ".html":
                assert unquote(url.fragment) in pages[target].names, f"{name} links to {link}"
    styles = "".join(file.read_text(encoding="utf-8") for file in site.rglob("*.css"))
    assert not re.findall(r"url\(['\"]?(?:https?:)?//", styles)
    assert "<math" in (site / "conventions" / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_reference_has_every_public_name(site):
    import absynth

    names = {name for path in (site / "reference").rglob("*.html") for name in Page(path).names}
    short = {name.rpartition(".")[2] for name in names}
    public = {name for name in dir(absynth) if name in absynth._EXPORTS or name[0].isupper()} - {"TYPE_CHECKING", "Any"}
    assert sorted(public - short) == []


class Quiet(SimpleHTTPRequestHandler):
    """A server that logs nothing."""

    def log_message(self, *_):
        pass


SHOWN = (
    "",
    "data/",
    "choose/",
    "conventions/",
    "gallery/",
    "methods/latent_prior/",
    "notebooks/compose/",
    "reference/",
)
"""Pages with everything that may go wrong: wide tables, equations, pictures, code, signatures."""


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser(site, browser, scheme):
    """On a phone: nothing overflows, no error on the console, no request to another host, dark where asked for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}/"
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page.set_default_timeout(120_000)
    errors, asked = [], []
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    try:
        for name in SHOWN:
            page.goto(root + name, wait_until="networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, f"{name} is wider than a phone"
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            shade = sum(map(int, re.findall(r"\d+", paper)[:3])) / 3
            assert shade > 200 if scheme == "light" else shade < 60, f"{name}: {paper} in {scheme} mode"
            broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
            assert page.evaluate(broken) == []
        page.goto(root + "?q=langevin", wait_until="networkidle")  # the search runs in the browser
        page.wait_for_selector(".md-search-result__item", state="attached")
    finally:
        page.close()
        server.shutdown()
    assert errors == []
    assert [url for url in asked if not url.startswith((root, "data:", "blob:"))] == []
