"""Documents whose examples write files do so in a folder of their own."""

import pytest

collect_ignore_glob = ["docs/*.py", "docs/site/*.py"]  # scripts and hooks of the site: no tests


@pytest.fixture(autouse=True)
def _documents_run_elsewhere(request, monkeypatch, tmp_path):
    if request.node.path.suffix == ".md":
        monkeypatch.chdir(tmp_path)
