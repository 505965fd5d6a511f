"""Comparison of the models and the demo: measure, judge, and show."""
