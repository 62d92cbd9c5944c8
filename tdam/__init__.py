"""TDAM networks: importing registers the models in timm.

Names are imported when they are first used: a command reads its arguments before anything waits for torch. The names
are listed in `__init__.pyi`.
"""

from importlib import import_module
from types import ModuleType

import lazy_loader
from wrapt import when_imported

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


@when_imported("timm")
def _register_networks(timm: ModuleType) -> None:
    """Register the TDAM names as soon as timm is there, be it imported before or after this package."""
    import_module("tdam.registry")
