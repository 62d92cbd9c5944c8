"""Every command tells its version."""

from __future__ import annotations

import importlib

import pytest

import wsol

COMMANDS = (
    "eval.commands.bench",
    "eval.commands.evaluate",
    "wsol.commands.train",
    "wsol.commands.show",
    "wsol.commands.data",
    "wsol.commands.demo",
)


@pytest.mark.parametrize("module", COMMANDS)
def test_the_version_is_the_packages(module, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["command", "--version"])
    importlib.import_module(module).main()
    assert capsys.readouterr().out == f"wsol {wsol.__version__}\n"
