"""Kernels in C++ for what PyTorch leaves slow on a CPU; compiled at their first use, where a
compiler is there, and done without where none is."""

from plaudit.native.build import library

__all__ = ["library"]
