"""Plaudit teaches language models from feedback.

The packages are floors of one house (docs/design.md): a file imports only from floors below it.
Import from the packages themselves, for example ``from plaudit.objectives import dpo_loss``.
"""

__version__ = "0.1.0"
