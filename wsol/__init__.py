"""Weakly-supervised object localization: datasets, maps of every step, boxes."""
