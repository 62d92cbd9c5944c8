"""Error of everything that is handed in to be judged."""

from __future__ import annotations

from tdam.errors import UserError


class InputError(UserError, ValueError):
    """Score maps, boxes, masks, logits or labels that cannot be judged."""
