"""OpenImages30k: masks with ignored regions, in wsolevaluation's layout.

::

    <root>/metadata/OpenImages/<split>/…               lists
    <root>/OpenImages/<split>/01226z/7af766bd43da900b.jpg                     image
                              …/7af766bd43da900b_m01226z_6554d965.png         mask of one instance
                              …/7af766bd43da900b_ignore.png                   ignored region

(or ``<root>/dataset/OpenImages/…``). Classes are named by the second folder, OpenImages' class id
without its ``/m/``.
"""

from __future__ import annotations

from pathlib import Path

from wsol.data.formats.wsolevaluation import named_by_folder, read_wsolevaluation
from wsol.data.loaded import Loaded


def load_openimages(root: Path, split: str) -> Loaded | None:
    """Read a split below `root`; None if it is not there."""
    loaded = read_wsolevaluation(root, "openimages", split)
    return None if loaded is None else named_by_folder(loaded)
