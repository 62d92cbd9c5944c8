"""Comparisons of many trainings: networks × training methods × seeds, judged by map methods × protocols."""
