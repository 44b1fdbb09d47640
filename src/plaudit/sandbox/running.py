"""Running one program: start it confined, gather what it says, and end it at its bounds."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from plaudit.sandbox.confinement import (
    ENVIRONMENT,
    Protection,
    bubblewrap_command,
    protection,
    python_command,
    readable_paths,
)
from plaudit.sandbox.inside import MARK
from plaudit.sandbox.syscalls import seccomp_filter

_INSIDE = (Path(__file__).parent / "inside.py").read_text(encoding="utf-8")
_MB, _KB = 1 << 20, 1 << 10


class SandboxError(RuntimeError):
    """The sandbox could not be set up, so the program never ran."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much of the machine a program may use."""

    wall_seconds: float = 10.0
    """From start to end; then it is killed."""
    cpu_seconds: int = 5
    """Of all its threads together."""
    memory_mb: int = 512
    """Address space."""
    folder_mb: int = 16
    """All files in its folder, which is in memory."""
    output_kb: int = 256
    """Of standard output, and of standard error; more kills it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """How a program ended.

    Example: ``Finished(exit_code=0, stopped="", stdout="4\\n", stderr="", seconds=0.03)``
    """

    exit_code: int
    """As a shell gives it: 128 + the signal's number where one killed it (152: CPU time)."""
    stopped: Literal["", "wall_time", "output"]
    """The bound at which it was killed from outside; empty where it ended by itself."""
    stdout: str
    stderr: str
    seconds: float
    """Wall time, the start of Python included."""

    @property
    def succeeded(self) -> bool:
        return self.exit_code == 0 and not self.stopped


def run_python(
    program: str, *, stdin: str = "", limits: Limits | None = None, unprotected: bool = False
) -> Finished:
    """Run a Python program nobody trusts, with the standard library and nothing else.

    It is one process (threads are allowed), without network, environment, or files but its own
    folder; nothing of it is left when this returns.

    Args:
        unprotected: run it even where nothing protects: bounded, but with all its user may do.

    Raises:
        ValueError: nothing protects on this machine, and ``unprotected`` was not said.
        SandboxError: the sandbox could not be set up.
    """
    found = protection()
    if found is None and not unprotected:
        raise ValueError(
            "no sandbox works on this machine, so model-written code is not run; install "
            "bubblewrap, use Linux 5.13 or newer with landlock, or say unprotected=true"
        )
    return run_confined(program, stdin, limits or Limits(), found)


def run_confined(
    program: str, stdin: str, limits: Limits, protection: Protection | None
) -> Finished:
    """``run_python`` in a given protection; None bounds the program and hides nothing."""
    began = time.monotonic()
    with _sent(program, stdin) as (file, length), _started(file, length, limits, protection) as run:
        said, stopped = _gathered(run, limits, began)
        _end(run)
    stdout, stderr = said
    if not stdout.startswith(MARK):
        if stopped:
            raise SandboxError(f"the sandbox did not start in {limits.wall_seconds:g} s")
        reason = " ".join(stderr.decode(errors="replace").split())[-200:]
        raise SandboxError(f"the sandbox did not start: {reason or f'exit {run.returncode}'}")
    code = run.returncode
    return Finished(
        exit_code=code if code >= 0 else 128 - code,
        stopped=stopped,
        stdout=stdout[len(MARK) :].decode(errors="replace"),
        stderr=stderr.decode(errors="replace"),
        seconds=time.monotonic() - began,
    )


@contextlib.contextmanager
def _sent(program: str, stdin: str) -> Iterator[tuple[IO[bytes], int]]:
    """The program and its input as one file to read from, and the program's length in bytes."""
    # A model may write half a surrogate pair, which is no text: the program's own syntax error.
    code = program.encode("utf-8", "surrogatepass")
    with tempfile.TemporaryFile() as file:
        file.write(code + stdin.encode("utf-8", "surrogatepass"))
        file.seek(0)
        yield file, len(code)


@contextlib.contextmanager
def _started(
    file: IO[bytes], length: int, limits: Limits, protection: Protection | None
) -> Iterator[subprocess.Popen[bytes]]:
    bounds = [limits.memory_mb * _MB, limits.cpu_seconds, limits.folder_mb * _MB, length]
    with contextlib.ExitStack() as stack:
        filter_files = (_filter_file(stack),) if protection == "bubblewrap" else ()
        place = stack.enter_context(tempfile.TemporaryDirectory()) if protection is None else "/"
        process = subprocess.Popen(
            _command(protection, [str(bound) for bound in bounds], limits, filter_files),
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=place,
            env={**ENVIRONMENT, "TMPDIR": place},
            pass_fds=filter_files,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _end(process)


def _command(
    protection: Protection | None, bounds: list[str], limits: Limits, filter_files: tuple[int, ...]
) -> list[str]:
    if protection == "bubblewrap":
        return bubblewrap_command(
            python_command(_INSIDE, *bounds),
            folder_bytes=limits.folder_mb * _MB,
            seccomp_file=filter_files[0],
        )
    if protection == "landlock":
        # Links are followed, since a rule is about what they name.
        readable = [os.path.realpath(path) for path in (*readable_paths(), "/dev/urandom")]
        seccomp = seccomp_filter(namespaces=False).hex()
        return python_command(_INSIDE, *bounds, seccomp, *readable)
    return python_command(_INSIDE, *bounds)


def _filter_file(stack: contextlib.ExitStack) -> int:
    """The seccomp filter in a pipe, whose buffer holds it whole."""
    reading, writing = os.pipe()
    stack.callback(os.close, reading)
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(seccomp_filter(namespaces=True))
    return reading


def _gathered(
    process: subprocess.Popen[bytes], limits: Limits, began: float
) -> tuple[list[bytes], Literal["", "wall_time", "output"]]:
    """Standard output and error, up to the end of the program or of its bounds."""
    assert process.stdout is not None and process.stderr is not None
    said = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    stopped = _read(said, limits, began + limits.wall_seconds)
    if not stopped:
        # A program may close its output and go on.
        left = began + limits.wall_seconds - time.monotonic()
        try:
            process.wait(timeout=max(left, 0.0))
        except subprocess.TimeoutExpired:
            stopped = "wall_time"
    return [bytes(part[: limits.output_kb * _KB]) for part in said.values()], stopped


def _read(
    said: dict[int, bytearray], limits: Limits, deadline: float
) -> Literal["", "wall_time", "output"]:
    with selectors.DefaultSelector() as selector:
        for file in said:
            selector.register(file, selectors.EVENT_READ)
        while selector.get_map():
            if (left := deadline - time.monotonic()) <= 0:
                return "wall_time"
            for key, _ in selector.select(left):
                chunk = os.read(key.fd, 1 << 16)
                said[key.fd] += chunk
                if not chunk:
                    selector.unregister(key.fd)
                if len(said[key.fd]) > limits.output_kb * _KB:
                    return "output"
    return ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left: bubblewrap's own death takes all its namespace with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
