"""From the archives as they are published to data that `wsol.data.load_dataset` reads."""

from wsol.data.prepare.benchmarks import missing_archives, prepare, recognise

__all__ = ["missing_archives", "prepare", "recognise"]
