"""minibirds: a small benchmark of drawn birds, rendered into the cache at first use."""

from wsol.data.minibirds.benchmark import (
    CLASS_NAMES,
    COUNTS,
    VERSION,
    Rendered,
    load_minibirds,
    minibirds_tree,
    render,
    render_image,
)

__all__ = [
    "CLASS_NAMES",
    "COUNTS",
    "VERSION",
    "Rendered",
    "load_minibirds",
    "minibirds_tree",
    "render",
    "render_image",
]
