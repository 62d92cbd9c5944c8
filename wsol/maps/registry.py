"""The registry of map methods: those of this package, and those that other packages bring."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import TypeVar

from tdam.errors import UserError, check_name
from wsol.maps.base import MapMethod

ENTRY_POINTS = "wsol.map_methods"
Registered = TypeVar("Registered", bound=type[MapMethod])
_methods: dict[str, type[MapMethod]] = {}


def register_method(method: Registered) -> Registered:
    """Make a map method known by its name; a class decorator.

    Raises:
        UserError: If another method has that name.
    """
    known = _methods.setdefault(method.name, method)
    if (known.__module__, known.__qualname__) != (method.__module__, method.__qualname__):
        raise UserError(f"map method {method.name!r} is {known.__module__}.{known.__qualname__}; choose another name")
    _methods[method.name] = method
    return method


@cache
def _load_all() -> None:
    """Import this package's methods and those that installed packages announce as entry points."""
    for module in pkgutil.walk_packages([str(Path(__file__).parent)], prefix=f"{__package__}."):
        import_module(module.name)
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        try:
            method = entry.load()
        except Exception as error:  # another package's code may raise anything
            raise UserError(f"map method {entry.name} of {entry.value} cannot be loaded: {error}") from error
        if not (isinstance(method, type) and issubclass(method, MapMethod)):
            raise UserError(f"map method {entry.name}: {entry.value} is not a wsol.maps.MapMethod")
        register_method(method)


def map_methods() -> tuple[str, ...]:
    """Names of all map methods, "cam" first."""
    _load_all()
    return tuple(sorted(_methods, key=lambda name: (name != "cam", name)))


def find_method(name: str) -> MapMethod:
    """The map method of a name.

    Raises:
        UnknownNameError: If there is none; the valid names come nearest first.
    """
    check_name("map method", name, map_methods())
    return _methods[name]()


def describe_methods() -> list[dict[str, str]]:
    """Name, cost, needs and paper of every map method, to be shown as a table."""
    found = [find_method(name) for name in map_methods()]
    return [
        {"method": m.name, "cost": m.cost, "needs": ", ".join(sorted(m.needs)) or "nothing", "paper": m.paper}
        for m in found
    ]
