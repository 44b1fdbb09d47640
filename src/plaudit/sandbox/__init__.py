"""Running programs nobody trusts: one process, no network, no files, bounded, and then gone."""

from plaudit.sandbox.confinement import Protection, protection
from plaudit.sandbox.running import Finished, Limits, SandboxError, run_python

__all__ = ["Finished", "Limits", "Protection", "SandboxError", "protection", "run_python"]
