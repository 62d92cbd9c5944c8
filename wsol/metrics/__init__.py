"""Localization metrics with integer counters: exact, summable over processes, of constant size."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
