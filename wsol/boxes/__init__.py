"""Boxes from score maps: the rules, thresholds that need no box, and regions with scores, outlines and masks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
