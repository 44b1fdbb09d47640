"""Verifiers: what can be said of a response by rule, given its prompt's row.

A verifier is a function ``f(response, columns, *, ...) -> float | Invalid``: 1 is right, 0 is
wrong, and what it cannot tell it raises or returns as ``Invalid``. They run in processes of their
own.
"""

from plaudit.verifiers.registry import VERIFIERS, Columns, Verifier, bind_verifier
from plaudit.verifiers.workers import Workers

__all__ = ["VERIFIERS", "Columns", "Verifier", "Workers", "bind_verifier"]
