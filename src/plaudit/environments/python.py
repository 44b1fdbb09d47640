"""Python as a tool: what a policy writes runs in the sandbox, and what it prints is the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plaudit.environments.tools import Tool, ToolError, text_argument

if TYPE_CHECKING:
    from plaudit.sandbox import Finished


def python_tool(*, timeout_seconds: float, memory_mb: int) -> Tool:
    """``python``: runs a program; each call begins anew.

    Raises:
        ValueError: no sandbox works on this machine.
    """
    from plaudit.sandbox import Limits, SandboxError, protection, run_python

    if protection() is None:
        raise ValueError("python: no sandbox works on this machine, so the tool cannot be used")
    limits = Limits(
        wall_seconds=timeout_seconds, cpu_seconds=int(timeout_seconds) + 1, memory_mb=memory_mb
    )

    def run(code: str) -> str:
        try:
            return _said(run_python(code, limits=limits), timeout_seconds)
        except SandboxError as error:
            raise ToolError(f"the program could not be run ({error})") from error

    return Tool(
        name="python",
        description="Run a Python program and read what it prints. Nothing is kept between calls; "
        f"no network; {timeout_seconds:g} seconds.",
        parameters=text_argument("code", "The program; print what you want to know."),
        call=lambda arguments: run(str(arguments["code"])),
    )


def _said(finished: Finished, timeout_seconds: float) -> str:
    """What it printed, or the last line of why it failed."""
    if finished.stopped:
        bounds = {"wall_time": f"{timeout_seconds:g} seconds", "output": "its output"}
        raise ToolError(f"the program was stopped at the limit of {bounds[finished.stopped]}")
    if not finished.succeeded:
        lines = finished.stderr.strip().splitlines()
        raise ToolError(lines[-1] if lines else f"the program ended with {finished.exit_code}")
    return finished.stdout.strip() or "the program printed nothing"
