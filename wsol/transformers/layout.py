"""Where the patches stand among a transformer's tokens."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tdam.errors import UserError


@dataclass(frozen=True)
class TokenLayout:
    """Order of the tokens: prefix tokens first, then the patches row by row.

    Attributes:
        prefix: Number p of tokens before the patches: class token, registers, distillation token.
        grid: Rows h and columns w of patches.
        class_token: Whether the first token is a class token.
    """

    prefix: int
    grid: tuple[int, int]
    class_token: bool = True

    @property
    def patches(self) -> int:
        """Number of patches, h times w."""
        return self.grid[0] * self.grid[1]

    @property
    def tokens(self) -> int:
        """Number N of all tokens."""
        return self.prefix + self.patches

    def patch_tokens(self, tokens: Tensor) -> Tensor:
        """The patches of tokens ``(B, N, D)`` as a feature map ``(B, D, h, w)``.

        Raises:
            UserError: If there are not N tokens.
        """
        self._check(tokens.shape[1])
        return tokens[:, self.prefix :].transpose(1, 2).unflatten(2, self.grid)

    def patch_columns(self, weights: Tensor) -> Tensor:
        """What is said of every patch, ``(..., N)``, as maps ``(..., h, w)``.

        Raises:
            UserError: If there are not N columns.
        """
        self._check(weights.shape[-1])
        return weights[..., self.prefix :].unflatten(-1, self.grid)

    def class_row(self, weights: Tensor) -> Tensor:
        """The class token's row of ``(..., N, N)``, over the patches: ``(..., h, w)``.

        Raises:
            UserError: If there is no class token.
        """
        if not self.class_token:
            raise UserError(
                "this network has no class token, so there is no row of attention to show; "
                "use cam or a method of gradients, such as grad-cam or legrad"
            )
        return self.patch_columns(weights[..., 0, :])

    def _check(self, tokens: int) -> None:
        if tokens != self.tokens:
            height, width = self.grid
            raise UserError(f"expected {self.prefix} + {height} x {width} = {self.tokens} tokens, got {tokens}")
