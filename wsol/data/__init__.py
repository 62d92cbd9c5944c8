"""Datasets of weakly-supervised object localization.

>>> from wsol.data import list_datasets
>>> "minibirds" in list_datasets()
True
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
