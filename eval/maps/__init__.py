"""Where score maps come from: a network, or files that any other program wrote."""

from eval.maps.folder import FolderMaps, MapWriter, read_score_map, score_map_file
from eval.maps.network import NetworkMaps
from eval.maps.source import MapBatch, MapSource, OnError

__all__ = [
    "FolderMaps",
    "MapBatch",
    "MapSource",
    "MapWriter",
    "NetworkMaps",
    "OnError",
    "read_score_map",
    "score_map_file",
]
