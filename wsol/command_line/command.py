"""A command: its options in groups, as tyro reads them and shows them."""

from __future__ import annotations

import argparse
import functools
import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

import docstring_parser
import tyro

from wsol.command_line.settings import read_settings, write_settings
from wsol.command_line.values import is_union, without_notes

Options = TypeVar("Options")
Shell = Literal["bash", "zsh", "fish"]
SHELLS: tuple[Shell, ...] = get_args(Shell)
COMPLETION_HELP = "Print a script that completes the command's options in this shell, and exit."
CONFIG_HELP = "YAML file of options, as --print-config writes it; options on the command line win."
PRINT_CONFIG_HELP = "Print all options as a file for --config, and exit."


@dataclass(frozen=True)
class Command(Generic[Options]):
    """A command of the terminal.

    Attributes:
        name: As typed, such as ``wsol-eval``.
        summary: What it does, in a sentence or two.
        options: Flat dataclass of its options; its docstring describes each of them.
        groups: Title of a group in the help -> names of its options. Every option is in exactly one group; those of
            the group "" are shown first, with --help.
        examples: Command lines with a comment each, shown as they are.
        notes: Further lines of the help, such as the sub-commands.
        takes_settings: Whether it takes ``--config`` and ``--print-config``.
        family: Whether it is one of a `CommandFamily`, which prints the completion of all.
    """

    name: str
    summary: str
    options: type[Options]
    groups: Mapping[str, Sequence[str]]
    examples: Sequence[str] = ()
    notes: Sequence[str] = ()
    takes_settings: bool = False
    family: bool = False

    def parse(
        self,
        arguments: Sequence[str] | None = None,
        defaults: Mapping[str, Any] | None = None,
        check: Callable[[Options], None] = lambda options: None,
    ) -> Options:
        """Read a command line.

        Leaves with 0 after ``--help``, ``--print-completion`` and ``--print-config``, with 2 after wrong usage.

        Args:
            arguments: Without the command's name; None reads `sys.argv`.
            defaults: Option -> value that holds where neither the command line nor ``--config`` gives one.
            check: Raises a `UserError` if the options are not valid; called before they are used or printed.

        Raises:
            UserError: If the settings file or the options are not valid.
        """
        arguments = _words(arguments)
        given = dict(defaults or {}) | self.settings_of(arguments)
        words = _completion(arguments) or arguments
        read: Any = tyro.cli(self.arguments(given), prog=self.name, description=self.description, args=words)
        options = self.chosen(read)
        check(options)
        if self.takes_settings and read.print_config:
            print(write_settings(options, {title or "general": names for title, names in self.groups.items()}), end="")
            sys.exit(0)
        return options

    def settings_of(self, arguments: Sequence[str] | None = None) -> dict[str, Any]:
        """What the file of ``--config`` holds; empty where none is given.

        Raises:
            UserError: If it cannot be read or is not valid.
        """
        path = peek(arguments, "config").get("config") if self.takes_settings else None
        return {} if path is None else read_settings(Path(path), self.options)

    @property
    def description(self) -> str:
        """Text above the options."""
        # tyro keeps a line break before a line that begins with a space.
        examples = ["Examples:", *(f"  {line}" for line in self.examples)] if self.examples else []
        parts = [self.summary, "\n".join(examples), "\n".join(self.notes)]
        return "\n\n".join(part for part in parts if part)

    def arguments(self, defaults: Mapping[str, Any]) -> Any:
        """The options as a dataclass for tyro: one nested dataclass for each group.

        Args:
            defaults: Option -> value instead of the dataclass's own default.
        """
        descriptions = describe(self.options)
        hints = get_type_hints(self.options, include_extras=True)
        known = {item.name: item for item in fields(self.options)}  # type: ignore[arg-type]

        def entry(name: str) -> tuple[str, Any, Any]:
            default = _default(known[name], defaults)
            metavar = _metavar(hints[name], name)
            note = tyro.conf.arg(help=descriptions[name], metavar=metavar, **_hint(default))
            return name, Annotated[hints[name], note], default

        shown: list[tuple[str, Any, Any]] = [entry(name) for name in self.groups.get("", ())]
        shown += [] if self.family else self._general()
        for title, names in self.groups.items():
            if title:
                group = make_dataclass(title, [entry(name) for name in names], kw_only=True)
                group.__doc__ = ""
                shown.append((title.replace(" ", "_"), Annotated[group, tyro.conf.OmitArgPrefixes], field()))
        arguments: Any = make_dataclass("Arguments", shown, kw_only=True)
        # Only where a file can turn a flag on is there a use for turning it off.
        return arguments if self.takes_settings else Annotated[arguments, tyro.conf.FlagCreatePairsOff]

    def _general(self) -> list[tuple[str, Any, Any]]:
        """Options that commands share."""
        shells = Annotated[Shell | None, tyro.conf.DisallowNone]
        entries: list[tuple[str, Any, str, Any]] = [("print_completion", shells, COMPLETION_HELP, None)]
        if self.takes_settings:
            entries = [
                ("config", Path | None, CONFIG_HELP, None),
                ("print_config", Annotated[bool, tyro.conf.FlagCreatePairsOff], PRINT_CONFIG_HELP, False),
                *entries,
            ]
        return [
            (
                name,
                Annotated[kind, tyro.conf.arg(help=text, metavar=_metavar(kind, name), help_behavior_hint="")],
                field(default=default),
            )
            for name, kind, text, default in entries
        ]

    def chosen(self, read: Any) -> Options:
        """The flat options, from what tyro read into `arguments`."""
        values: dict[str, Any] = {}
        for title, names in self.groups.items():
            group = getattr(read, title.replace(" ", "_")) if title else read
            values |= {name: getattr(group, name) for name in names}
        return self.options(**values)


@dataclass(frozen=True)
class CommandFamily:
    """A command whose first word says what to do, such as ``wsol-data list``.

    Attributes:
        name: As typed, such as ``wsol-data``.
        summary: What it is for.
        commands: What it can do.
    """

    name: str
    summary: str
    commands: Sequence[Command[Any]]

    def parse(self, arguments: Sequence[str] | None = None) -> Any:
        """Read a command line; leaves as `Command.parse` does.

        Args:
            arguments: Without the command's name; None reads `sys.argv`.

        Returns:
            Options of the command that was chosen.
        """
        kinds = {command.name.split()[-1]: command.arguments({}) for command in self.commands}
        members = [
            Annotated[kind, tyro.conf.subcommand(name, description=command.description)]
            for (name, kind), command in zip(kinds.items(), self.commands, strict=True)
        ]
        completion = f"Completion:\n  {self.name} --print-completion {{{','.join(SHELLS)}}}"
        words = _words(arguments)
        words = _completion(words) or words
        any_of_them: Any = functools.reduce(operator.or_, members)
        read = tyro.cli(any_of_them, prog=self.name, description=f"{self.summary}\n\n{completion}", args=words)
        (command,) = [one for one in self.commands if isinstance(read, without_notes(kinds[one.name.split()[-1]]))]
        return command.chosen(read)


def _completion(arguments: Sequence[str]) -> list[str] | None:
    """What tyro calls ``--print-completion SHELL``; None where it is not asked for."""
    shell = peek(arguments, "print_completion").get("print_completion")
    return ["--tyro-print-completion", shell] if shell in SHELLS else None


def _words(arguments: Sequence[str] | None) -> list[str]:
    return list(sys.argv[1:] if arguments is None else arguments)


def peek(arguments: Sequence[str] | None, *names: str) -> dict[str, str]:
    """Values of some options, read before the others can be.

    >>> peek(["--lr", "0.1", "--config", "a.yaml"], "config", "recipe")
    {'config': 'a.yaml'}
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in names:
        parser.add_argument(f"--{name.replace('_', '-')}", f"--{name}", dest=name, default=argparse.SUPPRESS)
    try:
        return vars(parser.parse_known_args(_words(arguments))[0])
    except argparse.ArgumentError:
        return {}  # an option without its value: tyro says so


def describe(options: type) -> dict[str, str]:
    """Option -> its description, from the docstrings of a dataclass and of those it is made from."""
    found: dict[str, str] = {}
    for part in reversed(options.__mro__[:-1]):
        for entry in docstring_parser.parse_from_object(part).params:
            found[entry.arg_name] = " ".join((entry.description or "").split())
    return found


def _default(item: Any, defaults: Mapping[str, Any]) -> Any:
    if item.name in defaults:
        return field(default_factory=lambda: defaults[item.name])
    if item.default is not MISSING:
        return field(default=item.default)
    if item.default_factory is not MISSING:
        return field(default_factory=item.default_factory)
    return field()


def _hint(default: Any) -> dict[str, Any]:
    """How the default is told: not at all where it is nothing, which the description explains."""
    if default.default is not MISSING:
        value = default.default
    elif default.default_factory is not MISSING:
        value = default.default_factory()
    else:
        return {"help_behavior_hint": "(required)"}
    if value is None or value is False or value in ((), {}, ""):
        return {"help_behavior_hint": ""}
    return {"help_behavior_hint": "(default: on)"} if value is True else {}


def _metavar(annotation: Any, name: str) -> str | None:
    """What stands for the value in the help; None leaves it to tyro."""
    notes, kind = get_args(annotation)[1:], without_notes(annotation)
    if is_union(kind):
        kind = next(one for one in reversed(get_args(kind)) if one is not type(None))
    several = get_origin(kind) is tuple and get_args(kind)[-1] is Ellipsis
    word = name.upper() if tyro.conf.Positional in notes else _word(get_args(kind)[0] if several else kind)
    return f"{word} ..." if several else word


def _word(kind: Any) -> str | None:
    if get_origin(kind) is Literal:
        return "{" + ",".join(get_args(kind)) + "}"
    return {str: "TEXT", int: "N", float: "X", Path: "PATH"}.get(kind)
