"""Plaudit beside TRL: the same data, models and numbers (docs/parity.md)."""
