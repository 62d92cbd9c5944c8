"""How each family of timm networks carries feedback: one file a family, and the table that knows them all."""

# Importing timm registers the TDAM networks, which needs every family; so it comes before any of them is half imported.
import timm  # noqa: F401
