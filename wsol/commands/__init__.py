"""The commands `wsol-show`, `wsol-data`, `wsol-train` and `wsol-demo`."""
