"""TDAM networks: importing registers the models in timm."""
