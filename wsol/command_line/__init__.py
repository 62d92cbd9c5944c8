"""What the commands share: help in groups, settings files, shell completion.

A command is a flat dataclass of options and a `Command` that says how they are grouped in its help. Nothing in this
folder imports torch, so that a command answers ``--help`` at once.
"""
