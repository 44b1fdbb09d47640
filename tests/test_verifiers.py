"""Verifiers of texts, choices, tags, JSON and function calls, by cases written by hand."""

from __future__ import annotations

import json

import pytest

from plaudit.verifiers import VERIFIERS, bind_verifier


def verify(name: str, response: str, options: dict | None = None, **columns) -> float:
    found = bind_verifier(name, options or {})(response, columns)
    assert isinstance(found, float)
    return found


@pytest.mark.parametrize(
    ("name", "response", "answer", "right"),
    [
        ("exact", " Paris\n", "Paris", True),
        ("exact", "paris", "Paris", False),
        ("exact", "4", 4, True),
        ("exact", "b", ["a", "b"], True),
        ("normalised", "The Eiffel Tower.", "eiffel tower", True),
        ("normalised", "“An  apple”!", "apple", True),
        ("normalised", "apples", "apple", False),
        ("normalised", "theatre", "atre", False),
        ("regex", "born in 1912.", r"\b19\d\d\b", True),
        ("regex", "born in 2012.", r"\b19\d\d\b", False),
        ("numeric", "It is 1,234.50 in all", "1234.5", True),
        ("numeric", "first 7, then −3", -3, True),
        ("numeric", "1.0000001e3", "1000", True),
        ("numeric", "1001", "1000", False),
        ("numeric", "none", "0", False),
        ("numeric", "12", [11, 12], True),
    ],
)
def test_plain_answers(name: str, response: str, answer, right: bool):
    assert verify(name, response, answer=answer) == right


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("B", "B"), ("(b)", "B"), ("B.", "B"), ("The answer is B.", "B"), ("Answer: (D)", "D"),
        ("The correct answer is **C**", "C"), ("\\boxed{A}", "A"), ("$\\boxed{\\text{D}}$", "D"),
        ("A is wrong, since it floats. So the answer is option C.", "C"),
        ("(A) is too small, (B) too large, so (C)", "C"), ("I would say\nB) the blue one", "B"),
        ("Answer is not A, the answer is D", "D"), ("A cat sat on the mat", None),
        ("I do not know", None), ("", None), ("K", None), ("It's a tie", None),
    ],
)  # fmt: skip
def test_choices(response: str, letter: str | None):
    for right in "ABCD":
        assert verify("choice", response, answer=right) == (right == letter)


def test_a_choice_may_be_given_by_its_index():
    assert verify("choice", "The answer is C", answer=2) == 1.0


@pytest.mark.parametrize(
    ("response", "right"),
    [
        ("<think>2+2</think><answer>4</answer>", True),
        (" <think>\n2\n</think>\n\n<answer>4</answer>\n", True),
        ("<think>2+2</think>", False),
        ("<answer>4</answer><think>2+2</think>", False),
        ("<think></think><answer>4</answer>", False),
        ("<think>a</think> so <answer>4</answer>", False),
        ("<think>a</think><answer>4</answer><answer>5</answer>", False),
        ("<think>a<think>b</think><answer>4</answer>", False),
        ("<think>a</think><answer>4", False),
        ("4", False),
    ],
)
def test_the_format_of_r1(response: str, right: bool):
    assert verify("format_tags", response) == right
    opened = response.lstrip().removeprefix("<think>")
    if right:
        assert verify("format_tags", opened, {"opened": True}) == 1.0
        assert verify("format_tags", opened) == 0.0


def test_only_the_tagged_part_is_the_answer():
    text = "<think>5, no, 4</think><answer> 4 </answer>"
    for name in ("exact", "numeric", "math", "normalised"):
        assert verify(name, text, {"tag": "answer"}, answer="4") == 1.0, name
        assert verify(name, text, {"tag": "answer"}, answer="5") == 0.0, name
        assert verify(name, "4", {"tag": "answer"}, answer="4") == 0.0, name


@pytest.mark.parametrize("name", ["exact", "normalised", "regex", "numeric", "choice", "math"])
def test_a_row_without_an_answer_has_no_verdict(name: str):
    for columns in ({}, {"answer": None}, {"answer": ""}):
        with pytest.raises(ValueError, match="has no column answer"):
            verify(name, "4", **columns)
    with pytest.raises(ValueError, match="has no column solution"):
        verify(name, "4", {"column": "solution"}, answer="4")


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [
        ("exact", {"a": 1}, "expected a text, a number or a list"),
        ("numeric", "many", "expected a number"),
        ("choice", "K", "expected a letter from A to J"),
        ("regex", "(", "is no regular expression"),
        ("math", "\\frac{", "cannot be read"),
    ],
)
def test_an_answer_that_cannot_be_used_has_no_verdict(name: str, answer, message: str):
    with pytest.raises(ValueError, match=message):
        verify(name, "4", answer=answer)


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.parametrize(
    ("response", "right"),
    [
        ('{"n": 3}', True),
        ('Here you are:\n```json\n{"n": 3}\n```', True),
        ('{"n": "3"}', False),
        ("{}", False),
        ('{"n": 3', False),
        ('The JSON: {"n": 3}', False),
        ("[" * 100_000, False),
    ],
)
def test_json_fits_its_schema(response: str, right: bool):
    assert verify("json_schema", response, schema=SCHEMA) == right
    assert verify("json_schema", response, schema=json.dumps(SCHEMA)) == right


def test_json_may_have_to_equal_an_answer():
    options = {"answer_column": "answer"}
    assert verify("json_schema", '{"n": 3}', options, schema=SCHEMA, answer={"n": 3}) == 1.0
    assert verify("json_schema", '{"n": 4}', options, schema=SCHEMA, answer={"n": 3}) == 0.0
    with pytest.raises(ValueError, match="is no JSON Schema"):
        verify("json_schema", "{}", schema={"type": "nonsense"})


AREA = {
    "name": "geometry.area",
    "parameters": {
        "type": "dict",
        "properties": {
            "base": {"type": "integer"},
            "height": {"type": "float"},
            "unit": {"type": "string"},
        },
        "required": ["base", "height"],
    },
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "array", "items": {"type": "integer"}},
            },
            "required": ["city"],
        },
    },
}
SIMPLE = [{"geometry.area": {"base": [10], "height": [5], "unit": ["units", ""]}}]
PARALLEL = [
    {"weather": {"city": ["New York", "NYC"]}},
    {"weather": {"city": ["Oslo"], "days": [[1, 2]]}},
]


def called(response: str, answer) -> float:
    return verify("function_calls", response, functions=[AREA, WEATHER], answer=answer)


@pytest.mark.parametrize(
    "response",
    [
        "geometry.area(base=10, height=5)",
        "[geometry.area(base=10, height=5.0, unit='Units')]",
        '{"name": "geometry.area", "arguments": {"base": 10, "height": 5}}',
        '[{"geometry.area": {"base": 10, "height": 5}}]',
        json.dumps({"function": {"name": "geometry.area", "arguments": '{"base":10,"height":5}'}}),
        '<tool_call>{"name": "geometry.area", "arguments": {"base": 10, "height": 5}}</tool_call>',
        '<|call|>geometry.area {"base": 10, "height": 5}',
        '```json\n[{"name": "geometry.area", "arguments": {"base": 10, "height": 5}}]\n```',
    ],
)
def test_one_call_in_every_form(response: str):
    assert called(response, SIMPLE) == 1.0
    plain = [{"name": "geometry.area", "arguments": {"base": 10, "height": 5}}]
    assert called(response, plain) == float("nit" not in response)


@pytest.mark.parametrize(
    "response",
    [
        "geometry.area(base=10)",
        "geometry.area(base=10, height=6)",
        "geometry.area(base=10, height=5, depth=3)",
        "geometry.area(base='10', height=5)",
        "geometry.area(base=True, height=5)",
        "geometry.area(base=10, height=5, unit='feet')",
        "geometry.area(10, 5)",
        "area(base=10, height=5)",
        "weather(city='Oslo')",
        "[geometry.area(base=10, height=5), weather(city='Oslo')]",
        "[geometry.area(base=10, height=5), geometry.area(base=10, height=5)]",
        "geometry.area(base=5+5, height=5)",
        "The area is 50.",
        '<tool_call>{"name":',
        "",
    ],
)
def test_one_call_that_is_wrong(response: str):
    assert called(response, SIMPLE) == 0.0


def test_parallel_calls_come_in_any_order():
    assert called("[weather(city='oslo', days=[1, 2]), weather(city='new york')]", PARALLEL) == 1.0
    assert called("[weather(city='NYC'), weather(city='Oslo', days=[1, 2])]", PARALLEL) == 1.0
    assert called("[weather(city='NYC'), weather(city='Oslo')]", PARALLEL) == 0.0
    assert called("[weather(city='Oslo', days=[1, 2])]", PARALLEL) == 0.0
    assert called("[weather(city='NYC'), weather(city='NYC')]", PARALLEL) == 0.0


def test_where_no_function_fits_none_is_called():
    assert called("None of these functions can do that.", []) == 1.0
    assert called("weather(city='Oslo')", []) == 0.0
    assert called('<tool_call>{"name": "weather"', []) == 0.0


def test_every_verifier_is_found_and_options_are_checked():
    for name in VERIFIERS:
        bind_verifier(name, {})
    for name, options, message in [
        ("exat", {}, "exat: no such verifier; did you mean exact?"),
        ("exact", {"colum": "a"}, "verifier exact: colum: no such option; did you mean column?"),
        ("numeric", {"relative_tolerance": "x"}, "verifier numeric: relative_tolerance"),
        ("python_tests", {"partial": 3}, "verifier python_tests: partial"),
        ("tests.test_verifiers:nothing", {}, "cannot be imported"),
        ("tests.test_verifiers:SCHEMA", {}, "is not a function"),
    ]:
        with pytest.raises(ValueError, match=message.replace("?", r"\?")):
            bind_verifier(name, options)
