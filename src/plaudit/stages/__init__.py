"""The stages: one file each, with a frozen config and a ``run`` that reads top to bottom."""
