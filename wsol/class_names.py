"""Class names for readers: one spelling in figures, tables, the demo and reports."""

from __future__ import annotations

import re


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
