"""The command `wsol-eval`."""
