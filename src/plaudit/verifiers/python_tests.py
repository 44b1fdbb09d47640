"""Verifying Python programs by running their tests in the sandbox.

The sandbox protects the machine, not the verdict: a program that sets out to fool its tests from
inside their own process can. Leaving early, silencing and printing "passed" do not help it.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from plaudit.records import Invalid
from plaudit.sandbox import Limits, run_python
from plaudit.verifiers.answers import expected
from plaudit.verifiers.registry import Columns

_FENCED = re.compile(
    r"```[ \t]*(?:python|py)?[ \t]*\d*\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE
)

_HARNESS = """
import json, sys, traceback
program, tests, word = json.loads({task!r})
space = {{"__name__": "program"}}
exec(compile(program, "program.py", "exec"), space)
passed = 0
for test in tests:
    try:
        exec(compile(test, "test.py", "exec"), space)
        passed += 1
    except Exception:
        traceback.print_exc()
sys.__stdout__.write("\\n" + word + " " + str(passed) + "\\n")
"""


def python_tests(
    response: str,
    columns: Columns,
    *,
    column: str = "tests",
    partial: bool = False,
    prefix_column: str = "",
    wall_seconds: float = 6.0,
    cpu_seconds: int = 4,
    memory_mb: int = 512,
    unprotected: bool = False,
) -> float | Invalid:
    """1 if the response's program passes all the row's tests, 0 if not.

    The program is the last Markdown fence that holds Python, or the whole response. The column
    holds a list of statements such as ``assert f(1) == 2`` (MBPP), a program that defines
    ``check(candidate)`` with the function's name in the column ``entry_point`` (HumanEval), or
    cases ``{"input", "output"}`` of standard input and output (APPS). A program that fails, takes
    too long or too much is wrong; only a sandbox that does not start is no verdict.

    Args:
        partial: the share of tests passed, in place of all or nothing.
        prefix_column: what stands before the program (HumanEval's prompt); empty for nothing.
        wall_seconds, cpu_seconds, memory_mb: of one run; every case of input is a run.
        unprotected: run without a sandbox where none works.
    """
    program = program_in(response)
    if prefix_column:
        program = f"{expected(columns, prefix_column)}{program}"
    limits = Limits(wall_seconds=wall_seconds, cpu_seconds=cpu_seconds, memory_mb=memory_mb)
    tests = _tests(columns, column)
    if isinstance(tests[0], dict):
        passed = sum(_answers(program, case, limits, unprotected) for case in tests)
    else:
        passed = _passed(program, tests, limits, unprotected)
    return passed / len(tests) if partial else float(passed == len(tests))


def program_in(response: str) -> str:
    """The last Markdown fence that holds Python, or the response itself."""
    found = _FENCED.findall(response)
    return found[-1] if found else response


def _tests(columns: Columns, column: str) -> list[Any]:
    """Statements or cases.

    Raises:
        ValueError: the column holds neither.
    """
    value = expected(columns, column)
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        value = json.loads(value)
    if isinstance(value, str):
        name = columns.get("entry_point")
        return [f"{value}\ncheck({name})" if name else value]
    if isinstance(value, dict) and {"inputs", "outputs"} <= value.keys():
        pairs: Any = zip(value["inputs"], value["outputs"], strict=True)  # type: ignore[arg-type]
        value = [{"input": given, "output": wanted} for given, wanted in pairs]
    setup = str(columns.get("test_setup_code") or "")
    if not isinstance(value, list) or not value:
        raise ValueError(f"column {column} is {value!r}; expected tests"[:200])
    if all(isinstance(test, str) for test in value):
        return [f"{setup}\n{test}" for test in value]
    if all(isinstance(test, dict) and {"input", "output"} <= test.keys() for test in value):
        return value
    raise ValueError(f"column {column}: expected statements, or cases of input and output")


def _passed(program: str, tests: list[str], limits: Limits, unprotected: bool) -> int:
    """How many statements hold; the count is believed with a word the program was not told."""
    word = secrets.token_hex(8)
    task = json.dumps([program, tests, word])
    found = run_python(_HARNESS.format(task=task), limits=limits, unprotected=unprotected)
    last = found.stdout.rstrip("\n").rpartition("\n")[2].split(" ")
    return int(last[1]) if found.succeeded and len(last) == 2 and last[0] == word else 0


def _answers(program: str, case: dict[str, Any], limits: Limits, unprotected: bool) -> bool:
    """Whether the program writes what is expected, but for space at the ends of lines."""
    given, wanted = ("\n".join(v) if isinstance(v, list) else str(v) for v in
                     (case["input"], case["output"]))  # fmt: skip
    found = run_python(program, stdin=given, limits=limits, unprotected=unprotected)
    return found.succeeded and _lines(found.stdout) == _lines(wanted)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]
