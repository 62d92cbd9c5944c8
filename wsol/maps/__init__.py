"""Map methods by name: what a network looks at, each method a class in a file of its own.

wsol.map_methods()                                          # names
wsol.class_activation_maps(model, images, method="layer-cam")
wsol.maps.find_method("layer-cam").paper

docs/adding-a-map-method.md shows how to add one, here or from another package.
"""

from wsol.maps.base import MapMethod, Need
from wsol.maps.registry import describe_methods, find_method, map_methods, register_method

__all__ = ["MapMethod", "Need", "describe_methods", "find_method", "map_methods", "register_method"]
