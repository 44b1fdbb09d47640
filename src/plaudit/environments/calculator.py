"""A calculator: arithmetic read by Python's own parser and worked out node by node.

Nothing is evaluated but numbers, the operators and the functions named here, and no number grows
past ``MAX_BITS``, so an expression can neither reach anything nor take long.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from plaudit.environments.tools import Tool, ToolError, text_argument

MAX_CHARACTERS = 500
MAX_BITS = 2048

Number = int | float

_BINARY: Mapping[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Number], Number]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "cos": math.cos,
    "exp": math.exp,
    "floor": math.floor,
    "log": math.log,
    "max": max,
    "min": min,
    "round": round,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}
_CONSTANTS = {"pi": math.pi, "e": math.e}


def calculator_tool() -> Tool:
    """``calculator``: works out one expression."""
    operators = "+ - * / // % **"
    return Tool(
        name="calculator",
        description=f"Work out an arithmetic expression: numbers, parentheses, {operators}, pi, e, "
        f"and {', '.join(_FUNCTIONS)}.",
        parameters=text_argument("expression", "For example (3 + 4) * 2."),
        call=lambda arguments: calculate(str(arguments["expression"])),
    )


def calculate(expression: str) -> str:
    """The value of an expression, whole numbers exactly, others to 12 digits.

    Raises:
        ToolError: it is no arithmetic, has no value, or is too long or too large.
    """
    if len(expression) > MAX_CHARACTERS:
        raise ToolError(f"the expression has {len(expression)} characters, over {MAX_CHARACTERS}")
    try:
        with warnings.catch_warnings(action="ignore"):  # on how the expression is written
            parsed = ast.parse(expression.strip(), mode="eval")
        value = _value(parsed.body)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ToolError(f"{expression!r} is no arithmetic expression") from error
    except (ArithmeticError, ValueError, TypeError) as error:
        raise ToolError(f"{expression!r} has no value: {error}") from error
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _bounded(value)
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=sign, operand=inner) if type(sign) in _UNARY:
            return _UNARY[type(sign)](_value(inner))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _bounded(_power(_value(left), _value(right)))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:
            return _bounded(_BINARY[type(sign)](_value(left), _value(right)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _bounded(_FUNCTIONS[name](*map(_value, args)))
    raise ToolError(f"{ast.unparse(node)!r} is not allowed in an expression")


def _power(base: Number, exponent: Number) -> Number:
    """Refused before it is computed where the result would be too large."""
    if isinstance(base, int) and abs(base) > 1 and abs(exponent) * base.bit_length() > MAX_BITS:
        raise ToolError(f"{base} ** {exponent} is too large")
    result = base**exponent
    if isinstance(result, complex):
        raise ToolError(f"{base} ** {exponent} is not a real number")
    return result


def _bounded(value: Number) -> Number:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ToolError("a number grew too large")
    if isinstance(value, float) and not math.isfinite(value):
        raise ToolError("a number grew too large")
    return value
