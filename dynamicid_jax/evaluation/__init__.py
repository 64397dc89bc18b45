"""Measurements: judges, metrics, reports."""
