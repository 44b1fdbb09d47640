"""The command line as its users meet it, in this process or in one of its own."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from plaudit.cli import main


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command left: its exit code and all it said."""

    code: int
    out: str
    err: str


def plaudit(*arguments: object) -> Outcome:
    """Run the command in this process; an error it does not explain passes through."""
    out, err = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(err)  # pytest's own handlers would keep the log to themselves
    logging.getLogger().addHandler(handler)
    try:
        with (
            patch.object(sys, "argv", ["plaudit", *map(str, arguments)]),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as stopped,
        ):
            main()
    finally:
        logging.getLogger().removeHandler(handler)
    code = stopped.value.code
    return Outcome(
        code=code if isinstance(code, int) else 0, out=out.getvalue(), err=err.getvalue()
    )


def plaudit_process(*arguments: object, cwd: Path, **environment: str) -> Outcome:
    """Run the command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "plaudit", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
    )
    return Outcome(code=done.returncode, out=done.stdout, err=done.stderr)


def the_mistake(outcome: Outcome, *said: object) -> str:
    """The one line that tells the user what was wrong, once it is seen to be one and to say it."""
    assert outcome.code == 2, outcome
    lines = outcome.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("plaudit: "), outcome.err
    for part in said:
        assert str(part) in lines[0], f"{part!r} not in {lines[0]!r}"
    assert not outcome.out, outcome.out
    return lines[0]


def entries(directory: Path) -> set[str]:
    """Everything in a directory, drafts and hidden files too."""
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}
