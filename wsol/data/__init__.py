"""Datasets of weakly-supervised object localization."""
