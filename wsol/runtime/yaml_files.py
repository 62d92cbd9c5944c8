"""YAML files that people write: plain values, of a size that a person writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tdam.errors import UserError

LARGEST = 16 * 2**20  # bytes; the names of a million classes


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, few lines of which can stand for more values than any memory holds, and without lost keys.

    A key that is there twice is an error by YAML's own rule; PyYAML takes the last and says nothing.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is there twice, keep one", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()
            raise yaml.composer.ComposerError(
                None, None, f"the alias *{event.anchor} is not read here, write the value out", event.start_mark
            )
        return super().compose_node(parent, index)


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        UserError: If it is missing, too large, no YAML, or holds aliases; the message names the file.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path}: cannot be read (larger than {LARGEST // 2**20} MB)")
        return yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_PlainLoader)
    except RecursionError:
        raise UserError(f"{path}: cannot be read (nested too deep)") from None
    # PyYAML fails with these at a date that does not exist, or at a value that is not of the type its tag says.
    except (OSError, ValueError, LookupError, AttributeError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
