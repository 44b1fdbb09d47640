"""What keeps a program in: bubblewrap's namespaces, or landlock where there are none."""

from __future__ import annotations

import functools
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Literal

from plaudit.sandbox.syscalls import is_supported

Protection = Literal["bubblewrap", "landlock"]

_LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64")
_LOADER_FILES = ("/etc/ld.so.cache",)
_DEVICES = ("/dev/null", "/dev/urandom", "/dev/random", "/dev/zero")
ENVIRONMENT = {
    "PATH": "/nowhere",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
}


@functools.cache
def protection() -> Protection | None:
    """What protects on this machine, found by running a program in it; None if nothing does."""
    from plaudit.sandbox.running import Limits, SandboxError, run_confined

    candidates: tuple[Protection, ...] = ("bubblewrap", "landlock")
    for candidate in candidates if is_supported() else ():
        try:
            run_confined("pass", "", Limits(), candidate)
            return candidate
        except (SandboxError, OSError):
            continue
    return None


def python_command(inside: str, *arguments: str) -> list[str]:
    """A bare Python: no site packages, no user's folder, nothing of the working directory."""
    return [_interpreter(), "-S", "-s", "-P", "-B", "-c", inside, *arguments]


def bubblewrap_command(command: list[str], *, folder_bytes: int, seccomp_file: int) -> list[str]:
    """The command in namespaces of its own, seeing the libraries and an empty folder in memory.

    Raises:
        FileNotFoundError: bubblewrap is not installed.
    """
    bubblewrap = shutil.which("bwrap")
    if bubblewrap is None:
        raise FileNotFoundError("bubblewrap (bwrap) is not installed")
    # Links (/lib, where it is one) are followed to what they name.
    shown = [f for path in readable_paths() for f in ("--ro-bind", str(Path(path).resolve()), path)]
    devices = [f for device in _DEVICES for f in ("--dev-bind-try", device, device)]
    variables = [f for name, value in ENVIRONMENT.items() for f in ("--setenv", name, value)]
    return [
        bubblewrap,
        *("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"),
        *("--new-session", "--cap-drop", "ALL", "--hostname", "sandbox"),
        *shown,
        *("--tmpfs", str(_standard_library() / "site-packages")),
        *devices,
        *("--size", str(folder_bytes), "--tmpfs", "/tmp", "--chdir", "/tmp"),
        *("--remount-ro", "/"),
        *("--clearenv", *variables),
        *("--seccomp", str(seccomp_file), "--", *command),
    ]


def readable_paths() -> list[str]:
    """What any program may read: the system's libraries, and Python's own."""
    paths = [*_LIBRARIES, *_LOADER_FILES, _interpreter(), str(_standard_library())]
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        names = sysconfig.get_config_vars("LDLIBRARY", "INSTSONAME")
        paths += [str(Path(str(sysconfig.get_config_var("LIBDIR"))) / str(n)) for n in names]
    return [path for path in dict.fromkeys(paths) if Path(path).exists()]


def _interpreter() -> str:
    """The Python beneath any virtual environment."""
    base = getattr(sys, "_base_executable", "") or sys.executable
    return str(Path(base).resolve())


def _standard_library() -> Path:
    return Path(sysconfig.get_path("stdlib"))
