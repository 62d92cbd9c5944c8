"""Class names: one spelling for readers in figures, tables, the demo and reports, and the class that a name means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from numbers import Integral
from typing import Any

from tdam.errors import UnknownNameError, UserError, check_name


def readable_name(name: str) -> str:
    """A class name for readers: without CUB's number and underscores.

    >>> readable_name("001.Black_footed_Albatross")
    'Black footed Albatross'
    """
    return re.sub(r"^\d+\.", "", name).replace("_", " ").strip()


def short_label(label: str, longest: int = 26) -> str:
    """A class name for a title: readable, its first synonym, cut to `longest` characters.

    >>> short_label("tabby, tabby cat")
    'tabby'
    >>> short_label("German short-haired pointer dog", longest=12)
    'German shor…'
    """
    first = readable_name(label.split(",")[0])
    return first if len(first) <= longest else first[: longest - 1] + "…"


def number_of_class(wanted: Any, names: Sequence[str] | None, count: int, network: str) -> int:
    """The number of a class, given by number or by name.

    Args:
        wanted: A whole number, also of numpy or a tensor of one; a name, or one of its synonyms in any case; or a
            number as text.
        names: Names of all classes, if they are known.
        count: Number of classes.
        network: Name of the network, for messages.

    Raises:
        UserError: If there is no such class, or several.

    >>> number_of_class("tabby", ["tench", "tabby, tabby cat"], 2, "net")
    1
    """
    if getattr(wanted, "ndim", None) == 0:
        wanted = wanted.item()
    if isinstance(wanted, bool) or not isinstance(wanted, Integral | str):
        raise UserError(f"a class is given by number or name, not as {wanted!r}")
    if isinstance(wanted, Integral) or (wanted not in (names or ()) and re.fullmatch(r"-?[0-9]+", wanted)):
        if not 0 <= int(wanted) < count:
            raise UnknownNameError(f"class_ids: {network} has classes 0 to {count - 1}, not {wanted}")
        return int(wanted)
    if names is None:
        raise UserError(f"{network} has no class names: give the number of class {wanted!r}")
    # "tabby" for "tabby, tabby cat"; ImageNet has two classes named crane.
    like = [i for i, name in enumerate(names) if name == wanted] or [
        i for i, name in enumerate(names) if wanted.lower() in [part.strip().lower() for part in name.split(",")]
    ]
    if len(like) > 1:
        raise UserError(f"class {wanted!r} may be {', '.join(f'{i} ({names[i]})' for i in like)}: give the number")
    return like[0] if like else names.index(check_name("class", wanted, names))
