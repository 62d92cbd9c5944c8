"""Error of everything that is handed in to be judged."""

from __future__ import annotations

from tdam.errors import UserError


class InputError(UserError, ValueError):
    """Score maps, boxes, masks, logits or labels that cannot be judged."""


class NothingToJudgeError(UserError, RuntimeError):
    """A figure was asked for before anything it could be computed from had been counted."""
