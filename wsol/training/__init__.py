"""Training of networks for localization from image labels: `Trainer` runs a `TrainingConfig`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
