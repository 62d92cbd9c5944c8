"""Settings files: the options of a command as YAML, read by ``--config`` and written by ``--print-config``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from tdam.errors import UserError, check_name
from wsol.command_line.values import plain, typed
from wsol.runtime.yaml_files import read_yaml


def read_settings(path: Path, options: type) -> dict[str, Any]:
    """Read a settings file.

    Args:
        path: YAML file of ``name: value`` lines; names with - or _.
        options: Dataclass of the options.

    Returns:
        Option -> value, of the options' own types.

    Raises:
        UnknownNameError: If a name is no option; the valid ones come nearest first.
        UserError: If the file cannot be read, or a value is of the wrong type.
    """
    content = read_yaml(path)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold lines like batch_size: 32")
    return typed_settings({str(key).replace("-", "_"): value for key, value in content.items()}, options, str(path))


def typed_settings(content: Mapping[str, Any], options: type, where: str) -> dict[str, Any]:
    """Check names and types of settings.

    Args:
        content: Option -> value as YAML holds it.
        options: Dataclass of the options.
        where: Where they come from, for messages.

    Raises:
        UnknownNameError: If a name is no option.
        UserError: If a value is of the wrong type.
    """
    hints = get_type_hints(options, include_extras=True)
    names = [item.name for item in fields(options)]
    settings = {}
    for name, value in content.items():
        check_name(f"setting in {where}", str(name), names)
        try:
            settings[name] = typed(value, hints[name])
        except ValueError as error:
            raise UserError(f"{where}: {name}: {error}") from None
    return settings


def write_settings(options: Any, groups: Mapping[str, Sequence[str]]) -> str:
    """All options as a settings file, in the groups of the help.

    Args:
        options: Instance of a dataclass of options.
        groups: Title of a group -> names of its options.
    """
    parts = [f"# {title}\n{_lines(options, names)}" for title, names in groups.items()]
    return "\n".join(parts)


def _lines(options: Any, names: Iterable[str]) -> str:
    values = {name: plain(getattr(options, name)) for name in names}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)
