"""The published benchmarks, each read in the layout it is published in."""
