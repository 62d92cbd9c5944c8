"""Every command explains itself: in groups, at 80 columns, with examples that run and nothing to look up elsewhere."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from typing import Any

import pytest

from eval.commands.bench import BENCH, REPORT
from eval.commands.evaluate import COMPARE, EVALUATE
from wsol.command_line.command import Command, describe
from wsol.commands.data import DATA
from wsol.commands.demo import DEMO
from wsol.commands.show import SHOW
from wsol.commands.train import TRAIN, parse

EVALUATION = {one.name: one for one in (EVALUATE, COMPARE, BENCH, REPORT)}
ALONE = {**EVALUATION, "wsol-show": SHOW, "wsol-demo": DEMO, "wsol-train": TRAIN}
COMMANDS: dict[str, Command[Any]] = {**ALONE, **{one.name: one for one in DATA.commands}}


def help_of(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    command, words = (ALONE[name], []) if name in ALONE else (DATA, name.split()[1:])
    with pytest.raises(SystemExit) as stop:
        command.parse([*words, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_every_option_is_described_and_in_exactly_one_group() -> None:
    for name, command in COMMANDS.items():
        options = [item.name for item in fields(command.options)]
        grouped = [option for names in command.groups.values() for option in names]
        assert sorted(grouped) == sorted(options), name
        assert [option for option in options if not describe(command.options).get(option)] == [], name


@pytest.mark.parametrize("name", [*COMMANDS, "wsol-data"])
def test_help_fits_80_columns_and_names_no_file_that_is_not_installed(name, capsys, monkeypatch) -> None:
    text = help_of(name, capsys, monkeypatch)
    _, *lines = text.splitlines()  # tyro writes the usage in one line, which terminals fold
    assert max(len(line) for line in lines) <= 80
    assert "docs/" not in text
    assert "None" not in text
    for example in COMMANDS[name].examples if name in COMMANDS else ():
        assert f"  {example}\n" in text


@pytest.mark.parametrize(
    ("name", "commands"), [("wsol-data", DATA.commands), ("wsol-eval", [COMPARE]), ("wsol-bench", [REPORT])]
)
def test_commands_of_a_command_are_listed(name, commands, capsys, monkeypatch) -> None:
    text = help_of(name, capsys, monkeypatch)
    for command in commands:
        assert command.name.split()[-1] in text


def examples() -> list[tuple[str, list[str]]]:
    """Each example of a command as its words, without comments and redirections."""
    found = []
    for name, command in COMMANDS.items():
        for line in "\n".join(command.examples).replace("\\\n", " ").splitlines():
            words = shlex.split(line.split(" > ")[0], comments=True)
            if "..." not in words:
                found.append((name, words[words.index(name.split()[0]) + len(name.split()) :]))
    return found


@pytest.mark.parametrize(
    ("name", "words"), examples(), ids=lambda value: " ".join(value) if list is type(value) else value
)
def test_examples_are_read(name: str, words: list[str], tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("model: resnet_mini\ndataset: minibirds\n")
    if name == "wsol-train":
        parse(words)
    elif name in ALONE:
        ALONE[name].parse(words)
    else:
        DATA.parse([name.split()[1], *words])


def test_defaults_are_told_plainly(capsys, monkeypatch) -> None:
    text = help_of("wsol-eval", capsys, monkeypatch)
    assert re.search(r"--split TEXT +Split to evaluate: train, val or test\. \(default: test\)", text)
    assert re.search(r"--dataset TEXT .*(\n.*)?\(required\)", text)
    assert re.search(r"--val, --no-val .*(\n.*)?\(default: on\)", text)
