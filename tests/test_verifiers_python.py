"""Programs pass by passing their tests, and by nothing else."""

from __future__ import annotations

import pytest

from plaudit.sandbox import SandboxError, protection
from plaudit.verifiers.python_tests import program_in, python_tests

pytestmark = pytest.mark.skipif(protection() is None, reason="no sandbox works here")
SQUARE = {"tests": ["assert f(2) == 4", "assert f(-3) == 9"]}
QUICK = {"cpu_seconds": 1, "wall_seconds": 5.0}


@pytest.mark.parametrize(
    ("response", "value", "part"),
    [
        ("def f(x): return x * x", 1.0, 1.0),
        ("Like this:\n```python\ndef f(x):\n    return x ** 2\n```\nAll right?", 1.0, 1.0),
        ("```\nf = lambda x: 0\n```\nNo:\n```py\nf = lambda x: x * x\n```", 1.0, 1.0),
        ("print('noise')\ndef f(x):\n    print(x)\n    return x * x", 1.0, 1.0),
        ("if __name__ == '__main__':\n    f = 1 / 0\nf = lambda x: x * x", 1.0, 1.0),
        ("def f(x): return 4", 0.0, 0.5),
        ("def g(x): return x * x", 0.0, 0.0),
        ("def f(x) return x * x", 0.0, 0.0),
        ("def f(x):\n    while x > 0: pass\n    return 9", 0.0, 0.0),
        ("f = lambda x: bytearray(10 ** 10)", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_statements(response: str, value: float, part: float):
    assert python_tests(response, SQUARE, **QUICK) == value
    assert python_tests(response, SQUARE, partial=True, **QUICK) == part


@pytest.mark.parametrize(
    "response",
    [
        "import sys; sys.exit(0)",
        "import os; os._exit(0)",
        "def f(x): raise SystemExit",
        "print('passed 2')\nraise SystemExit",
        "import sys\nsys.stdout.write('0123456789abcdef 2\\n')\nsys.exit(0)",
        "import atexit, os\natexit.register(lambda: print('x 2'))",
    ],
)
def test_leaving_early_or_claiming_to_have_passed_is_no_pass(response: str):
    assert python_tests(response, SQUARE, partial=True, **QUICK) == 0.0


def test_a_program_that_defines_check():
    row = {
        "prompt": "def add(a, b):\n",
        "tests": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
        "entry_point": "add",
    }
    assert python_tests("    return a + b\n", row, prefix_column="prompt") == 1.0
    assert python_tests("    return a - b\n", row, prefix_column="prompt") == 0.0
    assert python_tests("def add(a, b): return a + b", row) == 1.0


@pytest.mark.parametrize(
    "tests",
    [
        [{"input": "1 2\n", "output": "3"}, {"input": ["5", "5"], "output": ["10", ""]}],
        {"inputs": ["1 2\n", "5\n5"], "outputs": ["3\n", "10"]},
        '{"inputs": ["1 2", "5 5"], "outputs": ["3", "10"]}',
    ],
)
def test_cases_of_input_and_output(tests):
    right = "import sys\nprint(sum(map(int, sys.stdin.read().split())), ' ')"
    assert python_tests(right, {"tests": tests}) == 1.0
    half = "import sys\nprint(3)"
    assert python_tests(half, {"tests": tests}, partial=True) == 0.5
    assert python_tests(half, {"tests": tests}) == 0.0


def test_setup_code_comes_before_each_test():
    row = {"tests": ["assert f(2) == y"], "test_setup_code": "y = 4"}
    assert python_tests("f = lambda x: x * x", row) == 1.0


@pytest.mark.parametrize("tests", [None, [], [1], {"a": 1}, [{"input": "1"}]])
def test_rows_without_tests_have_no_verdict(tests):
    with pytest.raises(ValueError, match="column tests"):
        python_tests("x = 1", {"tests": tests})


def test_a_sandbox_that_does_not_start_is_no_wrong_answer(monkeypatch: pytest.MonkeyPatch):
    def fails(*_, **__):
        raise SandboxError("the sandbox did not start")

    monkeypatch.setattr("plaudit.verifiers.python_tests.run_python", fails)
    with pytest.raises(SandboxError):
        python_tests("def f(x): return x * x", SQUARE)


@pytest.mark.parametrize(
    ("response", "program"),
    [
        ("x = 1", "x = 1"),
        ("```python\nx = 1\n```", "x = 1\n"),
        ("```python3\nx = 1\n", "x = 1\n"),
        ("```\nx\n```\nor\n```Python\ny\n```", "y\n"),
    ],
)
def test_where_the_program_stands(response: str, program: str):
    assert program_in(response) == program
