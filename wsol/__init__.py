"""Weakly-supervised object localization: datasets, maps of every computation step, boxes.

import wsol
localizer = wsol.Localizer("resnet_mini_tdam")
found = localizer(["bird.jpg"])
"""

from importlib.metadata import PackageNotFoundError, version

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

try:
    __version__ = version("wsol")
except PackageNotFoundError:  # imported from a folder that was never installed
    __version__ = "0+unknown"
