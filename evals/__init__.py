"""Scores of plans that a planner made, against plans that people made.

The wheel does not contain this package. ``python -m evals`` runs it.
"""
