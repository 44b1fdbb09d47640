"""A database for one benchmark: a SQLite file, or a PostgreSQL server of its own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.collect_server import free_port


@contextmanager
def database_of(kind: str, folder: Path) -> Iterator[str]:
    """The address of an empty database, gone with the folder."""
    if kind == "sqlite":
        yield str(folder / "judgments.db")
    else:
        with postgresql(folder) as address:
            yield address


def used_seconds(folder: Path) -> float:
    """CPU time so far of the PostgreSQL server in the folder; 0 where there is none."""
    told = folder / "postgresql" / "postmaster.pid"
    if not told.exists():
        return 0.0
    server = psutil.Process(int(told.read_text().split()[0]))
    ended, running = server.cpu_times(), [one.cpu_times() for one in server.children()]
    used = ended.user + ended.system + ended.children_user + ended.children_system
    return used + sum(one.user + one.system for one in running)


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A PostgreSQL server with its default settings (fsync on), on a port of its own.

    Raises:
        RuntimeError: it is not installed.
    """
    programs = _programs()
    data, port = folder / "postgresql", free_port()
    # PostgreSQL refuses to run as root; where we are root it runs as the user it came with.
    as_user = ["runuser", "-u", "postgres", "--"] if Path.home() == Path("/root") else []
    data.mkdir()
    if as_user:
        folder.chmod(0o755)
        shutil.chown(data, "postgres")
    initdb = [
        str(programs / "initdb"),
        "-D",
        str(data),
        "-A",
        "trust",
        "-U",
        "plaudit",
        "-E",
        "UTF8",
    ]
    subprocess.run([*as_user, *initdb], check=True, stdout=subprocess.DEVNULL)
    control = [*as_user, str(programs / "pg_ctl"), "-D", str(data), "-l", str(data / "log"), "-w"]
    options = f"-p {port} -k {data} -c listen_addresses=127.0.0.1"
    subprocess.run([*control, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL)
    try:
        yield f"postgresql://plaudit@127.0.0.1:{port}/postgres"
    finally:
        stop = [*control, "-m", "immediate", "stop"]
        subprocess.run(stop, check=True, stdout=subprocess.DEVNULL)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        raise RuntimeError("PostgreSQL is not installed; expected initdb and pg_ctl")
    return Path(on_path).parent if on_path else found[-1].parent
