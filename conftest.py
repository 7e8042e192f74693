"""Documents whose examples write files do so in a folder of their own."""

from importlib.util import find_spec

import pytest

collect_ignore_glob = ["docs/*.py", "docs/site/*.py"]  # scripts and hooks of the site: no tests
if find_spec("gradio") is None:
    collect_ignore_glob.append("src/absynth/studio/page.py")


def pytest_collection_modifyitems(items):
    """Most pages' examples train networks: `make docs` and `make test-slow` run them."""
    for item in items:
        if item.path.suffix == ".md" and "docs" in item.path.parts and item.path.name != "samplers.md":
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _documents_run_elsewhere(request, monkeypatch, tmp_path):
    if request.node.path.suffix == ".md":
        monkeypatch.chdir(tmp_path)
