"""Errors of opening and reading networks."""

from __future__ import annotations

from tdam.errors import UserError


class NetworkError(UserError):
    """A network that cannot be read: it returns no logits, or hides the tensors that maps are made of."""
