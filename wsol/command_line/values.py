"""Values of options as YAML holds them, and back."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin


def without_notes(annotation: Any) -> Any:
    """The type inside ``Annotated[...]``."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def is_union(annotation: Any) -> bool:
    """Whether it is written ``A | B``."""
    return get_origin(annotation) in (Union, types.UnionType)


def plain(value: Any) -> Any:
    """A value as YAML holds it: paths as text, tuples as lists.

    >>> plain((Path("maps"), 2))
    ['maps', 2]
    """
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


def typed(value: Any, annotation: Any) -> Any:
    """The value of an option, from what a YAML file holds.

    YAML reads ``1e-4`` as text and ``1`` as an integer; both are numbers where a number is wanted.

    Args:
        value: As YAML read it.
        annotation: Type of the option.

    Raises:
        ValueError: If the value is of another type; the message says which is wanted.

    >>> typed(["a", "b"], tuple[str, ...]), typed("1e-4", float), typed(None, int | None)
    (('a', 'b'), 0.0001, None)
    >>> typed("many", int)
    Traceback (most recent call last):
    ...
    ValueError: expected a whole number, got 'many'
    """
    annotation = without_notes(annotation)
    if is_union(annotation):
        return _first_that_fits(value, get_args(annotation))
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        if value in get_args(annotation):
            return value
    elif origin is tuple:
        if isinstance(value, list | tuple):
            return _items(value, get_args(annotation))
    elif origin is float:
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            try:
                return float(value)
            except ValueError:
                pass
    elif origin is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif origin is Path:
        if isinstance(value, str | Path):
            return Path(value)
    elif origin is type(None):
        if value is None:
            return None
    elif isinstance(value, origin):
        return value
    raise ValueError(f"expected {_name(annotation)}, got {plain(value)!r}")


def _first_that_fits(value: Any, annotations: tuple[Any, ...]) -> Any:
    for annotation in annotations:
        try:
            return typed(value, annotation)
        except ValueError:
            continue
    raise ValueError(f"expected {' or '.join(_name(one) for one in annotations)}, got {plain(value)!r}")


def _items(values: list[Any] | tuple[Any, ...], annotations: tuple[Any, ...]) -> tuple[Any, ...]:
    if annotations[-1] is Ellipsis:
        return tuple(typed(value, annotations[0]) for value in values)
    if len(values) != len(annotations):
        raise ValueError(f"expected {len(annotations)} values, got {len(values)}")
    return tuple(typed(value, one) for value, one in zip(values, annotations, strict=True))


def _name(annotation: Any) -> str:
    """What a person calls a type."""
    annotation = without_notes(annotation)
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        return " or ".join(str(choice) for choice in get_args(annotation))
    names = {
        str: "text",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        Path: "a path",
        tuple: "a list",
        dict: "KEY: VALUE lines",
        type(None): "null",
    }
    return names[origin]
