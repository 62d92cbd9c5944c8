"""Completion of options in the shells that are here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from eval.commands.evaluate import EVALUATE
from wsol.commands.data import DATA


def script(command, shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        command.parse(["--print-completion", shell])
    assert not stop.value.code
    return capsys.readouterr().out


def completed_by_bash(text: str, name: str, words: list[str], folder: Path) -> list[str]:
    """What bash offers for the last word."""
    (folder / "completion.bash").write_text(text)
    line = f"""
source {folder / "completion.bash"}
COMP_WORDS=({name} {" ".join(words)})
COMP_CWORD={len(words)}
read -r _ _ function _ < <(complete -p {name})
$function
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
@pytest.mark.parametrize(
    ("command", "words", "offered"),
    [
        (EVALUATE, ["--save-"], {"--save-score-maps", "--save-logits"}),
        (EVALUATE, ["--decode", "f"], {"fast"}),
        (DATA, ["pre"], {"prepare"}),
    ],
)
def test_bash_completes(command, words, offered, capsys, tmp_path) -> None:
    assert offered <= set(completed_by_bash(script(command, "bash", capsys), command.name, words, tmp_path))


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_the_script(shell, capsys, tmp_path) -> None:
    text = script(EVALUATE, shell, capsys)
    assert "wsol-eval" in text
    assert "save-score-maps" in text
    if shell == "zsh":
        assert text.startswith("#compdef wsol-eval")
    if shutil.which(shell):
        (tmp_path / "script").write_text(text)
        subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)


def test_an_unknown_shell_is_refused(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        EVALUATE.parse(["--print-completion", "csh"])
    assert stop.value.code == 2
    message = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert all(f"'{name}'" in message for name in ("bash", "zsh", "fish"))
