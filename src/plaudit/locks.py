"""Locks on files, so that no two processes work in one place."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


def lock(file: Path) -> int:
    """Lock a file for this process, until ``os.close`` of what is returned or its end.

    Raises:
        ValueError: another process holds it.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            os.close(descriptor)
            raise ValueError(f"{file.parent}: another process is at work on it") from error
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
            raise
        log.warning("%s: this file system has no locks; run no second process on it", file.parent)
    return descriptor
