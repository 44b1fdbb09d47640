"""What an error means to the user: one line, or None where only the traceback can tell."""

from __future__ import annotations

import dis
import errno
from pathlib import Path

import plaudit
from plaudit.jobs import StepFailed

USERS_MISTAKE, RUN_FAILED = 2, 1
_WRONG_PATH = {
    errno.EACCES,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
_DISK_FULL = {errno.EDQUOT, errno.ENOSPC}


def explain(error: Exception) -> tuple[str, int] | None:
    """The message and the exit code; None for a fault of ours, or of the user's own functions.

    A missing file is no mistake of the user's here: every input is looked for where it enters.
    """
    if isinstance(error, StepFailed):
        return str(error), error.code
    if isinstance(error, ValueError) and _raised_by_us(error):
        return str(error), USERS_MISTAKE
    if isinstance(error, OSError) and error.filename and error.errno in _WRONG_PATH:
        return f"{error.filename}: {error.strerror}; expected a path you may use", USERS_MISTAKE
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        again = "free some space, and the same command goes on from the last checkpoint"
        return f"{error.filename or 'output'}: {error.strerror}; {again}", RUN_FAILED
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        remedies = "micro_batch_tokens (it changes no result), sampling_slots or max_length"
        return f"out of memory; lower {remedies}, or train adapters (lora_r=16)", RUN_FAILED
    return (str(error), RUN_FAILED) if type(error).__name__ == "NonFiniteLoss" else None


def _raised_by_us(error: Exception) -> bool:
    """Whether a ``raise`` of Plaudit's own says it, not a library or the user's reward function."""
    trace = error.__traceback__
    assert trace is not None
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    raised = dis.opname[code.co_code[trace.tb_lasti]] == "RAISE_VARARGS"
    return raised and Path(code.co_filename).is_relative_to(Path(plaudit.__file__).parent)


def _is_out_of_memory(error: Exception) -> bool:
    """As torch tells it: a class of its own on a GPU, only a message on a CPU."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
