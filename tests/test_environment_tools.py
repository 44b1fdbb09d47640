"""Real tools: what they answer, what they refuse, and that nothing gets out of them."""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest

from plaudit.config import make_config
from plaudit.environments import EnvironmentOptions, Tool, Toolbox, function_tool, open_tools
from plaudit.environments.calculator import calculate, calculator_tool
from plaudit.environments.search import search_tool
from plaudit.environments.service import service_tool
from plaudit.environments.sql import sql_tool
from plaudit.environments.tools import ToolError
from plaudit.records import Message, Prompt, ToolCall


def answer(tool: Tool, **arguments) -> str:
    return Toolbox([tool]).answer(ToolCall(name=tool.name, arguments=arguments))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("2 ** 100", str(2**100)),
        ("10 / 4", "2.5"),
        ("-7 // 2", "-4"),
        ("7 % 4 - -1", "4"),
        ("0.1 + 0.2", "0.3"),
        ("sqrt(2)", "1.41421356237"),
        ("max(3, abs(-5), 4)", "5"),
        ("round(cos(pi))", "-1"),
        (" 7_000 ", "7000"),
        ("2 ** -1", "0.5"),
        ("-" * 499 + "1", "-1"),
    ],
)
def test_the_calculator_calculates(expression: str, value: str):
    assert calculate(expression) == value


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("__import__('os').system('id')", "is not allowed"),
        ("().__class__", "is not allowed"),
        ("[1][0]", "is not allowed"),
        ("(lambda: 1)()", "is not allowed"),
        ("x := 3", "no arithmetic"),
        ("'a' * 9", "is not allowed"),
        ("True + 1", "is not allowed"),
        ("1j", "is not allowed"),
        ("9 ** 9 ** 9", "too large"),
        ("10 ** 600 * 10 ** 600", "too large"),
        ("1e308 * 10", "too large"),
        ("(-8) ** 0.5", "not a real number"),
        ("1 / 0", "has no value"),
        ("sqrt(-1)", "has no value"),
        ("max()", "has no value"),
        ("(" * 250, "no arithmetic"),
        ("1or 2", "is not allowed"),
        ("\x00", "no arithmetic"),
        ("1 +", "no arithmetic"),
        ("1" * 501, "501 characters"),
    ],
)
def test_the_calculator_refuses(expression: str, fault: str):
    began = time.monotonic()
    with pytest.raises(ToolError, match=fault):
        calculate(expression)
    assert time.monotonic() - began < 10, "it is not tried"


def test_arguments_are_checked_against_the_schema():
    tool = calculator_tool()
    assert answer(tool, expression="6 * 7") == "42"
    assert answer(tool, expression=3) == "error: arguments.expression: 3 is not of type 'string'"
    assert answer(tool, expr="1").startswith("error: arguments: ")
    assert answer(tool, expression="1", more=2).startswith("error: arguments: Additional")


def test_a_turn_may_call_often_but_not_without_end():
    prompt = Prompt(id="a", conversation="a", content=(Message(role="user", content="?"),))
    text = '<|call|>calculator {"expression":"1+1"}' * 10
    reply = Toolbox([calculator_tool()]).reply(prompt, (), text)
    assert [m.content for m in reply.results[:8]] == ["2"] * 8
    assert [m.content[:15] for m in reply.results[8:]] == ["error: at most "] * 2


MENU = """
CREATE TABLE menu (drink TEXT, price REAL, note TEXT);
INSERT INTO menu VALUES ('latte', 3.5, NULL), ('mocha', 4.25, 'two
lines'), ('tea', 2.0, 'x');
"""
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture(params=["menu.sql", "menu.db"])
def menu(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A database as a script, and as a file."""
    path = tmp_path / request.param
    if path.suffix == ".sql":
        path.write_text(MENU)
    else:
        with sqlite3.connect(path) as connection:
            connection.executescript(MENU)
        connection.close()
    return path


def queried(database: Path, query: str, *, max_rows: int = 10, seconds: float = 2.0) -> str:
    return answer(sql_tool(database, max_rows=max_rows, timeout_seconds=seconds), query=query)


def test_sql_answers_with_names_and_rows(menu: Path):
    assert queried(menu, "SELECT price FROM menu WHERE drink = 'latte'") == "price\n3.5"
    assert queried(menu, "SELECT drink, note FROM menu ORDER BY price") == (
        "drink | note\ntea | x\nlatte | NULL\nmocha | two lines"
    )
    assert queried(menu, "SELECT max(price) FROM menu;") == "max(price)\n4.25"
    assert queried(menu, "SELECT 1 FROM menu WHERE price > 9") == "no rows"
    cut = queried(menu, "SELECT drink FROM menu", max_rows=2)
    assert cut == "drink\nlatte\nmocha\n... (more than 2 rows)"
    assert (
        "CREATE TABLE menu (drink TEXT"
        in sql_tool(menu, max_rows=1, timeout_seconds=1).described()["function"]["description"]
    )


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM menu",
        "DROP TABLE menu",
        "INSERT INTO menu VALUES ('x', 1, '')",
        "UPDATE menu SET price = 0",
        "CREATE TABLE other (x)",
        "CREATE TEMP TABLE other (x)",
        "ATTACH DATABASE '{}/new.db' AS other",
        "VACUUM INTO '{}/copy.db'",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "BEGIN",
        "SELECT load_extension('x')",
        "SELECT 1; DROP TABLE menu",
        "SELECT length(zeroblob(100000000))",
        "SELECT price FROM nowhere",
        "SELEC price",
        "SELECT '\ud800'",
        "SELECT 1 -- " + "x" * 5000,
        "\x00",
    ],
)
def test_sql_changes_nothing_and_opens_nothing(query: str, menu: Path):
    before = {p.name: p.read_bytes() for p in menu.parent.iterdir()}
    assert queried(menu, query.replace("{}", str(menu.parent))).startswith("error: ")
    assert {p.name: p.read_bytes() for p in menu.parent.iterdir()} == before
    assert queried(menu, "SELECT count(*) FROM menu") == "count(*)\n3"


def test_a_query_without_end_is_ended(menu: Path):
    tool = sql_tool(menu, max_rows=5, timeout_seconds=1)
    began = time.monotonic()
    assert answer(tool, query=ENDLESS) == "error: the query took over 1 s"
    assert time.monotonic() - began < 30, "it would take for ever"
    assert answer(tool, query="SELECT 1").endswith("\n1"), "the next query has its own time"


def test_a_database_that_is_not_there_or_not_one_is_refused(tmp_path: Path):
    (tmp_path / "text.db").write_text("no database, but long enough to be looked at" * 99)
    (tmp_path / "broken.sql").write_text("CREATE TABEL x;")
    limits = {"max_rows": 1, "timeout_seconds": 1.0}
    for name, fault in {
        "none.db": "no such database",
        "text.db": "not a database",
        "broken.sql": "not a database",
    }.items():
        with pytest.raises(ValueError, match=fault):
            sql_tool(tmp_path / name, **limits)


PASSAGES = ("The latte has milk.", "A mocha has milk and chocolate.", "Tea has tea, and only tea.")


def test_search_ranks_by_bm25():
    found = answer(search_tool(PASSAGES, max_results=2), query="what has TEA?")
    assert found.splitlines()[0] == f"[1] {PASSAGES[2]}"
    assert answer(search_tool(PASSAGES, max_results=3), query="chocolate") == f"[1] {PASSAGES[1]}"
    assert answer(search_tool(PASSAGES, max_results=3), query="zebra?!") == "nothing found"


def test_search_scores_are_the_formulas():
    """idf tf / (tf + k1 (1 - b + b |d| / mean |d|)), idf = ln(1 + (N - n + .5) / (n + .5))."""
    import bm25s

    words = [["a", "b"], ["a", "a", "c", "d"], ["e", "f", "g"]]
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    index.index(words, show_progress=False)
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    expected = [
        idf * tf / (tf + 1.5 * (1 - 0.75 + 0.75 * length / 3)) if tf else 0.0
        for tf, length in ((1, 2), (2, 4), (0, 3))
    ]
    assert index.get_scores(["a"]).tolist() == pytest.approx(expected, abs=1e-6)


def price(drink: str, size: Literal["small", "large"] = "small", *, count: int = 1) -> dict:
    """What drinks cost,
    in dollars.

    Args:
        drink: as on the menu; a name
            of several words is fine.
        size: of the cup.

    Returns:
        nothing: that the model should read
    """
    if drink == "soup":
        raise KeyError("no such drink")
    return {"price": 2.5 * count, "size": size}


def untold(drink: str) -> str:
    return drink


def unannotated(drink) -> str:
    """A price."""
    return drink


def test_a_function_is_described_by_its_signature_and_docstring():
    described = function_tool(price).described()["function"]
    assert described["name"] == "price"
    assert described["description"] == "What drinks cost, in dollars."
    parameters = described["parameters"]
    assert parameters["required"] == ["drink"]
    assert parameters["properties"] == {
        "drink": {
            "type": "string",
            "description": "as on the menu; a name of several words is fine.",
        },
        "size": {
            "type": "string",
            "enum": ["small", "large"],
            "default": "small",
            "description": "of the cup.",
        },
        "count": {"type": "integer", "default": 1},
    }


def test_a_function_is_called_with_checked_arguments():
    tool = function_tool(f"{__name__}:price")
    assert json.loads(answer(tool, drink="tea", count=2)) == {"price": 5.0, "size": "small"}
    assert answer(tool, drink="tea", size="huge").startswith("error: arguments.size: ")
    assert answer(tool, drink="soup") == "error: KeyError: 'no such drink'"
    for function, fault in ((untold, "needs a docstring"), (unannotated, "parameter drink needs")):
        with pytest.raises(ValueError, match=fault):
            function_tool(function)


ASKED: list[tuple[str, object]] = []


class Service(BaseHTTPRequestHandler):
    """Answers by path."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ASKED.append((self.path, body))
        if self.path == "/slow":
            time.sleep(0.6)
        code = {"/moved": 302, "/broken": 500}.get(self.path, 200)
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/right")
        self.end_headers()
        if self.path == "/drip":
            for _ in range(9):
                self.wfile.write(b"x")
                time.sleep(0.1)
        said = b"x" * 1_000_001 if self.path == "/long" else b'{"price": 3}'
        self.wfile.write(said)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    ASKED.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def description(tmp_path: Path) -> Path:
    path = tmp_path / "tool.json"
    parameters = {"type": "object", "properties": {"drink": {"type": "string"}}}
    path.write_text(json.dumps({"description": "Prices.", "parameters": parameters}))
    return path


def asked(description: Path, url: str, *, seconds: float = 30) -> str:
    tool = service_tool("price", description, url, timeout_seconds=seconds, allow_remote=False)
    return answer(tool, drink="tea")


def test_a_service_is_posted_the_arguments(address: str, description: Path):
    assert asked(description, f"{address}/right") == '{"price": 3}'
    assert ASKED[-1] == ("/right", {"drink": "tea"})


def test_a_service_that_fails_is_an_error_for_the_model(address: str, description: Path):
    assert "answered 500" in asked(description, f"{address}/broken")
    assert "timed out" in asked(description, f"{address}/slow", seconds=0.3)
    assert "timed out" in asked(description, f"{address}/drip", seconds=0.3), (
        "the time is that of the call"
    )
    assert "more than 1000000 bytes" in asked(description, f"{address}/long")
    assert "did not answer" in asked(description, "http://127.0.0.1:9/")
    calls = len(ASKED)
    assert "answered 302" in asked(description, f"{address}/moved")
    assert len(ASKED) == calls + 1, "a redirect is not followed"


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1/x", "file:///etc/passwd", "ftp://127.0.0.1/", "http://", "nonsense"]
)
def test_addresses_elsewhere_are_refused(url: str, description: Path):
    with pytest.raises(ValueError, match=r"services\.price\.url: "):
        asked(description, url)


def test_a_service_elsewhere_can_be_allowed(description: Path):
    service_tool("p", description, "http://192.0.2.1/", timeout_seconds=1, allow_remote=True)


def test_python_runs_in_the_sandbox():
    sandbox = pytest.importorskip("plaudit.sandbox")
    from plaudit.environments.python import python_tool

    if sandbox.protection() is None:
        with pytest.raises(ValueError, match="no sandbox works"):
            python_tool(timeout_seconds=4, memory_mb=256)
        return
    tool = python_tool(timeout_seconds=4, memory_mb=256)
    assert answer(tool, code="print(6 * 7)") == "42"
    assert answer(tool, code="1 / 0") == "error: ZeroDivisionError: division by zero"
    assert answer(tool, code="pass") == "the program printed nothing"
    assert "limit of 4 seconds" in answer(tool, code="import time; time.sleep(9)")


def test_options_open_what_they_name(tmp_path: Path):
    (tmp_path / "menu.sql").write_text(MENU)
    (tmp_path / "passages.jsonl").write_text("".join(f'{{"text": "{p}"}}\n' for p in PASSAGES))
    given = {
        "calculator": True,
        "sql": {"database": str(tmp_path / "menu.sql")},
        "search": {"corpus": str(tmp_path / "passages.jsonl"), "max_results": 1},
        "functions": [f"{__name__}:price"],
    }
    tools = open_tools(make_config(EnvironmentOptions, given, "here"))
    assert [tool.name for tool in tools] == ["calculator", "sql", "search", "price"]
    assert "chocolate" in answer(tools[2], query="mocha")


def test_what_does_not_apply_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="here: no tool is given; choose calculator, python"):
        make_config(EnvironmentOptions, {"max_turns": 2}, "here")
    with pytest.raises(ValueError, match="two tools are called calculator"):
        Toolbox([calculator_tool(), calculator_tool()])
    (tmp_path / "rows.jsonl").write_text('{"title": "a"}\n')
    lost = {"search": {"corpus": str(tmp_path / "rows.jsonl")}}
    with pytest.raises(ValueError, match=r"rows.jsonl:1: text holds no words"):
        open_tools(make_config(EnvironmentOptions, lost, "here"))
