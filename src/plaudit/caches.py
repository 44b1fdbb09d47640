"""What can be made anew, kept for the next time in ``~/.cache/plaudit`` (or ``XDG_CACHE_HOME``)."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

KEPT_DAYS = 30
"""Without being used."""


def cache_place(*names: str) -> Path:
    """Where something of this name is kept, or would be."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "plaudit", *names)


def keep_folder(place: Path, write: Callable[[Path], None]) -> None:
    """Have a folder written, whole or not at all, and old ones beside it deleted.

    Where it cannot be written that is said, and nothing is kept.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _delete_unused(place.parent)
        with tempfile.TemporaryDirectory(dir=place.parent) as beside:
            made = Path(beside, place.name)
            made.mkdir()
            write(made)
            shutil.rmtree(place, ignore_errors=True)  # damaged, or of a process that was as quick
            made.rename(place)
    except OSError as error:
        log.info("%s: not kept for the next time (%s)", place, error)


def mark_used(place: Path) -> None:
    """Count the days from now; a folder of somebody else's, which only they may mark, is not."""
    with contextlib.suppress(OSError):
        os.utime(place)


def _delete_unused(parent: Path) -> None:
    oldest = time.time() - KEPT_DAYS * 86_400
    for place in parent.iterdir():
        if place.stat().st_mtime < oldest:
            shutil.rmtree(place, ignore_errors=True)
