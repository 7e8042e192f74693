"""The help of tasks: every flag with its meaning and default, at once."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from command import run

from absynth import tasks
from absynth.cli.task_help import flag_lines, task_help


@pytest.mark.parametrize("name", tasks.tasks())
def test_help_names_every_flag_and_its_default(name):
    text = " ".join(task_help(name).split())
    for parameter in inspect.signature(tasks.find(name).command).parameters.values():
        if parameter.name == "run":
            continue
        flag = f"--{parameter.name.replace('_', '-')} "
        assert text.count(f" {flag}") >= 1
        default = parameter.default
        if default not in ("", None) and not isinstance(default, bool | tuple):
            assert f"[default: {default}]" in text[text.index(flag) :]


def test_choices_and_lists(monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    text = task_help("inpaint")
    assert "--hide {box,block,frames,pixels}" in text
    assert "--box [N,...]" in text
    assert "--rows [N,...]" in task_help("edit")
    assert "[default: [0,2]]" in task_help("edit")
    assert "--property {logP,QED,rings,length}" in task_help("guide")
    assert max(map(len, text.splitlines())) <= 90


def test_long_flags_stand_above_their_text():
    assert flag_lines([("--n N", "Number.")], 80) == [f"  {'--n N':<28}  Number."]
    assert flag_lines([("--" + "a" * 40, "Number.")], 80) == [f"  --{'a' * 40}\n{'':32}Number."]


def test_help_does_not_import_torch(capsys):
    code = (
        "import sys; from absynth import cli\n"
        "cli.main(['sample', 'runs/a', '--help']); cli.main(['--help'])\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0
    assert run("sample", "-h") == 0
    assert capsys.readouterr().out.startswith("absynth sample RUN [flags]\n\nDraw samples")
