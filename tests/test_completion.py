"""Completion of the shell: what bash offers after some words, and scripts for the other shells."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from test_cli import one_line, run

from absynth import recipes, released, tasks
from absynth.cli import COMMANDS

OFFER = """
source "$1"; shift
function=$(complete -p absynth | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=()
$function absynth "${COMP_WORDS[-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def test_bash_completes_commands_methods_flags_and_choices(tmp_path, capsys):
    bash = shutil.which("bash") or pytest.skip("there is no bash")
    assert run("completion", "bash") == 0
    script = tmp_path / "absynth"
    script.write_text(capsys.readouterr().out)

    def offered(*words: str) -> set[str]:
        done = subprocess.run([bash, "-c", OFFER, "bash", script, "absynth", *words], capture_output=True, text=True)
        assert done.stderr == ""
        return set(done.stdout.split())

    assert offered("") >= {*tasks.tasks(), *COMMANDS}
    assert offered("train", "") >= set(recipes.methods())
    assert offered("train", "vae", "--lat") == {"--latent"}
    assert offered("sample", "RUN", "--dec") == {"--decoding"}
    assert offered("sample", "RUN", "--decoding", "") >= {"mode", "draw"}
    (tmp_path / "late").mkdir()
    assert offered("sample", "latent_prior/mn") == {"latent_prior/mnist"}
    assert offered("compose", "RUN", "--others", "noise_contrastive/") == {"noise_contrastive/moons"}
    assert offered("train", "vae", "--data", "breast") == {"breast_cancer"}
    assert offered("studio", "") >= set(released.names())
    assert offered("sample", str(tmp_path / "la")) == {str(tmp_path / "late")}
    assert offered("cite", "dual") == {"dual_teaching"}


def test_other_shells(capsys, monkeypatch):
    monkeypatch.setattr(recipes, "methods", lambda: ["vae"])  # one is enough, and quick
    for shell, begins in (("zsh", "#compdef absynth"), ("fish", "")):
        assert run("completion", shell) == 0
        script = capsys.readouterr().out
        assert script.startswith(begins)
        assert "super_resolve" in script
        assert "latent" in script
        assert "latent_prior/mnist" in script
    assert run("completion", "tcsh") == 2
    assert "expected one of bash, zsh, fish, got tcsh" in one_line(capsys)
    assert run("completion", "--help") == 0
    assert "absynth completion fish >" in capsys.readouterr().out
