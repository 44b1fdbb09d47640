"""Compiling the kernels for the machine they run on, once.

What is compiled is kept by a digest of the sources, the flags and the processor, so that another
version or another machine with the same home directory compiles its own.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from plaudit.caches import cache_place

_FOLDER = Path(__file__).parent
_FLAGS = (
    "-std=c++17", "-O3", "-march=native", "-fopenmp", "-fPIC", "-fno-math-errno",
)  # fmt: skip
SWITCH = "PLAUDIT_NATIVE"
"""Environment variable: 0 leaves everything to PyTorch."""

_log = logging.getLogger(__name__)


@functools.cache
def library() -> ctypes.CDLL | None:
    """The kernels, or None where they are switched off or cannot be compiled."""
    if os.environ.get(SWITCH) == "0":
        return None
    try:
        return ctypes.CDLL(str(_built(_compiler())))
    except OSError as error:
        _log.warning("no kernels of our own, PyTorch's are used: %s", error)
        return None


def _compiler() -> list[str]:
    """A program, by its path, and its own options: ``CXX`` may have some.

    Raises:
        OSError: there is none.
    """
    named = shlex.split(os.environ.get("CXX", ""))
    for name, *options in [named] if named else [["g++"], ["c++"]]:
        if path := shutil.which(name):
            return [path, *options]
    raise OSError(f"no C++ compiler: {named[0] if named else 'neither g++ nor c++'} is not found")


def _built(compiler: Sequence[str]) -> Path:
    """The library, compiled where it is not kept whole.

    Raises:
        OSError: it cannot be compiled, or not be kept.
    """
    path = cache_place(f"kernels-{_digest(compiler)}.so")
    if not _is_whole(path):
        _log.info("compiling kernels for this processor, once")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Processes that compile at the same time each write their own files, and the last stay.
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            built = Path(folder, path.name)
            _compile(compiler, sorted(_FOLDER.glob("*.cpp")), built)
            _sum_file(built).write_text(_sum(built), encoding="ascii")
            _sum_file(built).replace(_sum_file(path))
            built.replace(path)
    return path


def _is_whole(path: Path) -> bool:
    """To load a library that a crash cut short would end the process."""
    file = _sum_file(path)
    return path.is_file() and file.is_file() and file.read_text(encoding="ascii") == _sum(path)


def _sum_file(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _compile(compiler: Sequence[str], sources: Sequence[Path], built: Path) -> None:
    objects = [built.with_name(f"{source.stem}.o") for source in sources]
    _run(
        *(
            [*compiler, *_FLAGS, "-c", str(source), "-o", str(compiled)]
            for source, compiled in zip(sources, objects, strict=True)
        )
    )
    _run([*compiler, *_FLAGS, "-shared", *map(str, objects), "-o", str(built)])


def _run(*commands: Sequence[str]) -> None:
    """All at the same time."""
    running = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    said = [process.communicate()[1] for process in running]
    for command, process, words in zip(commands, running, said, strict=True):
        if process.returncode:
            raise OSError(f"{command[0]} ended with {process.returncode}: {words[-2000:]}")


def _digest(compiler: Sequence[str]) -> str:
    parts = [p.read_bytes() for p in sorted(_FOLDER.glob("*.[ch]*"))]
    parts += [" ".join([*compiler, *_FLAGS]).encode(), _processor().encode()]
    return hashlib.sha256(b"\0".join([*parts, torch.__version__.encode()])).hexdigest()[:16]


def _processor() -> str:
    """What ``-march=native`` depends on."""
    told = Path("/proc/cpuinfo")
    if not told.exists():
        return platform.machine() + platform.processor()
    wanted = ("model name", "flags", "Features")
    lines = told.read_text().split("\n\n")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith(wanted))
