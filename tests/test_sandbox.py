"""The sandbox runs programs as Python does, and lets none of them out."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from plaudit.sandbox import Finished, Limits, SandboxError, confinement, protection, run_python
from plaudit.sandbox.running import run_confined

PROTECTIONS = ("bubblewrap", "landlock")
TIGHT = Limits(wall_seconds=30.0, cpu_seconds=2, memory_mb=256, folder_mb=2, output_kb=16)


def works(protection) -> bool:
    try:
        return run_confined("pass", "", Limits(), protection).succeeded
    except (SandboxError, OSError):
        return False


@pytest.fixture(params=PROTECTIONS)
def confined(request: pytest.FixtureRequest):
    """Runs a program in one of the protections, which must work on this machine."""
    if not works(request.param):
        pytest.skip(f"{request.param} does not work here")

    def run(program: str, stdin: str = "", limits: Limits = TIGHT) -> Finished:
        return run_confined(program, stdin, limits, request.param)

    run.protection = request.param  # type: ignore[attr-defined]
    return run


def test_a_program_reads_calculates_and_writes(confined):
    found = confined("print(sum(map(int, input().split())))", "2 3 4\n")
    assert (found.exit_code, found.stopped, found.stdout, found.stderr) == (0, "", "9\n", "")
    assert found.succeeded


def test_the_standard_library_is_there_and_nothing_else(confined):
    program = """
import asyncio, collections, decimal, json, math, random, re, sqlite3, threading
threading.Thread(target=lambda: print("thread")).start()
print(asyncio.run(asyncio.sleep(0, "loop")))
for name in ("numpy", "torch", "plaudit"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        print(error.name)
"""
    found = confined(program)
    assert found.succeeded, found
    assert found.stdout.split() == ["thread", "loop", "numpy", "torch", "plaudit"]


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("1 / 0", 1, 'File "program.py", line 1'),
        ("def f(:", 1, "SyntaxError"),
        ("import sys; sys.exit(3)", 3, ""),
        ("exit(4)", 4, ""),
        ("raise SystemExit", 0, ""),
        ("print('\ud800')", 1, "SyntaxError: (unicode error)"),
    ],
)
def test_how_a_program_ends_is_told(program: str, code: int, said: str, confined):
    found = confined(program)
    assert found.exit_code == code and said in found.stderr and not found.stopped
    assert "inside.py" not in found.stderr and "become" not in found.stderr


def test_an_endless_loop_is_ended_by_its_cpu_time(confined):
    found = confined("while True: pass", limits=Limits(cpu_seconds=1, wall_seconds=30))
    assert found.exit_code == 128 + 24 and not found.stopped


def test_a_sleeper_is_ended_by_the_clock(confined):
    found = confined("import time; time.sleep(60)", limits=Limits(wall_seconds=1.0))
    assert found.stopped == "wall_time" and not found.succeeded and found.seconds < 30


def test_signals_that_are_ignored_help_nothing(confined):
    program = """
import signal, sys
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
print("ignoring", flush=True)
sys.stdout.close()
import time
while True:
    time.sleep(0.01)
"""
    found = confined(program, limits=Limits(wall_seconds=4.0))
    assert found.stopped == "wall_time" and found.stdout == "ignoring\n"
    busy = program.replace("time.sleep(0.01)", "pass")
    found = confined(busy, limits=Limits(wall_seconds=20, cpu_seconds=1))
    assert found.exit_code == 128 + 9 and not found.stopped


def test_closing_the_output_and_going_on_helps_nothing(confined):
    program = "import os, time\nos.close(1); os.close(2)\ntime.sleep(60)"
    assert confined(program, limits=Limits(wall_seconds=1.0)).stopped == "wall_time"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_endless_output_is_cut_and_ended(stream: str, confined):
    found = confined(f"import sys\nwhile True: sys.{stream}.write('x' * 1000)")
    assert found.stopped == "output"
    assert len(getattr(found, stream)) <= 16 * 1024


def test_a_memory_bomb_fails(confined):
    found = confined("data = bytearray(300 << 20)\nprint('held')")
    assert found.exit_code == 1 and "MemoryError" in found.stderr and not found.stdout
    # Memory that is not address space is not to be had.
    assert "PermissionError" in confined("import os; os.memfd_create('x')").stderr


def test_a_fork_bomb_does_not_begin(confined):
    program = """
import ctypes, os, subprocess
def attempt(f):
    try:
        f()
        print("made a process")
    except OSError as error:
        print(error.errno)
attempt(os.fork)
attempt(lambda: subprocess.run(["/bin/true"]))
attempt(lambda: os.posix_spawn("/bin/true", ["true"], {}))
libc = ctypes.CDLL(None, use_errno=True)
for number, *arguments in ((56, 17), (57,), (58,)):
    print("made" if libc.syscall(number, *arguments, 0, 0, 0, 0) >= 0 else ctypes.get_errno())
"""
    found = confined(program)
    assert found.stdout.split() == ["1"] * 6, found


def test_threads_are_bounded_by_memory(confined):
    program = """
import threading, time
made = 0
try:
    while made < 5000:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        made += 1
except RuntimeError:
    print("no more threads")
import os
os._exit(0 if made < 5000 else 1)
"""
    assert confined(program).exit_code == 0


def test_no_file_of_the_user_can_be_read(confined, tmp_path: Path):
    secret = tmp_path / "secret.txt"
    secret.write_text("the password")
    us = f"/proc/{os.getpid()}"
    places = ["/etc/passwd", "/etc/shadow", __file__, str(secret), str(Path.home() / ".bashrc")]
    places += ["/proc/1/environ", f"{us}/environ", f"{us}/root{secret}"]
    folders = [str(Path.home()), str(tmp_path), "/home", "/root", "/var", "/etc"]
    program = f"""
import os
for place in {places!r}:
    try:
        print("read", open(place).read())
    except OSError:
        pass
for folder in {folders!r}:
    try:
        # The way to Python's library may be there as empty folders.
        print("listed", folder, *set(os.listdir(folder)) - {{".pyenv", "ld.so.cache"}})
    except OSError:
        pass
"""
    found = confined(program)
    assert found.succeeded and "read" not in found.stdout, found
    assert all(line.split()[2:] == [] for line in found.stdout.splitlines()), found


def test_nothing_is_written_outside(confined, tmp_path: Path):
    victim = tmp_path / "victim.txt"
    victim.write_text("as it was")
    victim.chmod(0o644)
    (before,) = [victim.stat()]
    program = f"""
import os
victim = {str(victim)!r}
def attempt(f):
    try:
        f()
        print("did it")
    except OSError:
        print("refused")
attempt(lambda: open(victim, "w").write("changed"))
attempt(lambda: open(victim + ".new", "w"))
attempt(lambda: os.unlink(victim))
attempt(lambda: os.rename(victim, victim + ".moved"))
attempt(lambda: os.chmod(victim, 0))
attempt(lambda: os.chown(victim, 1, 1))
attempt(lambda: os.utime(victim, (0, 0)))
attempt(lambda: os.truncate(victim, 0))
attempt(lambda: os.mkdir("/usr/lib/mine"))
attempt(lambda: open("/usr/lib/mine", "w"))
attempt(lambda: open("/mine", "w"))
attempt(lambda: os.link("/usr/lib/os-release", "/usr/lib/mine"))
"""
    assert set(confined(program).stdout.split()) == {"refused"}
    after = victim.stat()
    assert victim.read_text() == "as it was" and list(tmp_path.iterdir()) == [victim]
    assert (after.st_mode, after.st_uid, after.st_mtime) == (
        before.st_mode, before.st_uid, before.st_mtime,
    )  # fmt: skip


def test_symlinks_lead_nowhere(confined, tmp_path: Path):
    (tmp_path / "secret.txt").write_text("the password")
    program = f"""
import os
try:
    os.symlink({str(tmp_path / "secret.txt")!r}, "link")
    print(open("link").read())
except OSError:
    print("refused")
try:
    os.symlink("/usr/lib", "libraries")
    open("libraries/mine", "w")
    print("written")
except OSError:
    print("refused")
"""
    assert confined(program).stdout.split() == ["refused", "refused"]


def test_its_own_folder_is_bounded_and_does_not_last(confined):
    program = """
try:
    with open("note.txt", "w") as file:
        file.write("kept")
    print(open("note.txt").read())
except PermissionError:
    print("no folder")
written = 0
try:
    for i in range(100):
        with open(f"part{i}", "wb") as file:
            file.write(bytes(1 << 20))
        written += 1
except OSError:
    pass
print(written)
"""
    first, written = confined(program).stdout.splitlines()
    assert (first, int(written) < 2) == (
        "kept" if confined.protection == "bubblewrap" else "no folder", True,
    )  # fmt: skip
    assert "note.txt" not in confined("import os; print(os.path.exists('note.txt'))").stdout
    assert confined("import os; print(os.path.exists('note.txt'))").stdout == "False\n"


def test_there_is_no_network(confined):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        program = f"""
import socket, urllib.request
for make in (lambda: socket.create_connection(("127.0.0.1", {port}), 2),
             lambda: socket.socket(socket.AF_UNIX),
             lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
             lambda: urllib.request.urlopen("http://127.0.0.1:{port}", timeout=2)):
    try:
        make()
        print("connected")
    except OSError:
        print("refused")
"""
        assert confined(program).stdout.split() == ["refused"] * 4
        with pytest.raises(TimeoutError):
            server.accept()


def test_secrets_in_the_environment_stay_outside(confined, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAUDIT_SECRET", "hunter2")
    program = "import os; print(dict(os.environ)); print(os.getenv('PLAUDIT_SECRET'))"
    found = confined(program)
    assert found.succeeded and "hunter2" not in found.stdout
    assert found.stdout.splitlines()[-1] == "None"


def test_nobody_outside_can_be_killed(confined):
    program = f"""
import os, signal
for target in ({os.getpid()}, os.getppid(), 1, 0, -1):
    try:
        os.kill(target, signal.SIGTERM if target > 1 else 0)
    except OSError:
        pass
try:
    os.kill({os.getpid()}, signal.SIGKILL)
except OSError:
    print("refused")
"""
    assert confined(program).stdout == "refused\n"


def test_nothing_is_left_running(confined):
    program = """
import os, threading, time
for attempt in (lambda: os.fork(), lambda: os.setsid()):
    try:
        if attempt() == 0:
            time.sleep(60)
    except OSError:
        pass
threading.Thread(target=time.sleep, args=(60,)).start()
"""
    began = time.monotonic()
    assert confined(program, limits=Limits(wall_seconds=1.0)).stopped == "wall_time"
    assert time.monotonic() - began < 30, "half of what it sleeps"
    deadline = time.monotonic() + 30
    while (left := sandboxed_processes()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def sandboxed_processes() -> list[str]:
    """Processes begun by this one, or by nobody any more, that were told what runs inside."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if "What runs first inside the sandbox" in command and parent in (os.getpid(), 1):
            found.append(process.name)
    return found


def test_the_wide_doors_of_the_kernel_are_shut(confined):
    program = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
# ptrace, mount, unshare(new user), setns, bpf, keyctl, io_uring_setup, userfaultfd, open by handle
for number, first in ((101, 0), (165, 0), (272, 0x10000000), (308, 0), (321, 0), (250, 0),
                      (425, 1), (323, 0), (304, 0)):
    ctypes.set_errno(0)
    result = libc.syscall(number, first, 0, 0, 0, 0, 0)
    print(result, ctypes.get_errno())
"""
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers are x86-64's")
    assert set(confined(program).stdout.splitlines()) == {"-1 1"}


def test_limits_cannot_be_raised_again(confined):
    program = """
import resource
for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE):
    try:
        resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print("raised")
    except (ValueError, OSError):
        print("refused")
"""
    assert confined(program).stdout.split() == ["refused"] * 3


def test_without_protection_nothing_runs_unless_told_to(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("plaudit.sandbox.running.protection", lambda: None)
    with pytest.raises(ValueError, match="no sandbox works on this machine"):
        run_python("print(1)")
    assert run_python("print(1)", unprotected=True).stdout == "1\n"
    assert run_python("while True: pass", limits=Limits(cpu_seconds=1), unprotected=True).exit_code


def test_what_protects_is_found_by_trying(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(confinement.shutil, "which", lambda name: None)
    found = protection.__wrapped__()
    assert found == ("landlock" if works("landlock") else None)
    monkeypatch.setattr(confinement, "is_supported", lambda: False)
    assert protection.__wrapped__() is None


def test_a_sandbox_that_does_not_start_is_an_error_and_no_failed_program(
    monkeypatch: pytest.MonkeyPatch,
):
    if protection() != "bubblewrap":
        pytest.skip("bubblewrap does not work here")
    monkeypatch.setattr(confinement, "_LIBRARIES", ("/usr/bin",))
    with pytest.raises(SandboxError, match="the sandbox did not start"):
        run_python("print(1)")
