"""Policies against a baseline under a judge that was never optimised, and the report."""
