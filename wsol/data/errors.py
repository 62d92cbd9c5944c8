"""What can be wrong with a dataset, as errors a user can mend."""

from __future__ import annotations

from tdam.errors import UserError


class DatasetError(UserError):
    """Data that is missing, incomplete or malformed. The message names the file and the mend."""


class ImageError(DatasetError):
    """An image that cannot be read. The message names its path."""


class MissingSplitError(DatasetError):
    """A split that a dataset of one's own does not have."""
