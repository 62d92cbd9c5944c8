"""Judging localization: metrics, protocols, thresholds, intervals, results and reports."""
