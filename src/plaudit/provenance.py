"""Where results come from: hashes of files, the code that ran, the memory it took."""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import plaudit


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(directory: Path, but: Iterable[str] = ()) -> dict[str, str]:
    """The hash of every file in a directory, by its name, ``but`` for some of its entries."""
    files = sorted(file for file in directory.rglob("*") if file.is_file())
    names = [file.relative_to(directory) for file in files]
    return {str(name): hash_file(directory / name) for name in names if name.parts[0] not in but}


def peak_rss_mb() -> int:
    """The most memory this process ever held, in MB (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def code_revision() -> str:
    """The version, and in its own git checkout the commit (``+dirty`` when its files differ)."""
    try:
        # A package installed into another project's checkout is none of that project's files.
        if not _git("ls-files", "__init__.py"):
            return plaudit.__version__
        dirty = "+dirty" if _git("status", "--porcelain", ".") else ""
        return f"{plaudit.__version__} {_git('rev-parse', 'HEAD')}{dirty}"
    except FileNotFoundError:
        return plaudit.__version__


def _git(*arguments: str) -> str:
    """What git says of the package's directory; nothing where it is in no checkout."""
    command = ["git", "-C", str(Path(plaudit.__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()
