"""Make the data of the recipe tool_use: a menu, questions about it, and demonstrations.

    python scripts/prepare_tool_use.py

Writes src/plaudit/assets/tool-use/: ``menu.sql`` (a database), ``questions.jsonl.gz`` (with the
columns ``answer`` and ``needs_tool``) and ``demonstrations.jsonl.gz``, in which somebody uses the
database rightly about one time in three. The same on every machine.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

from plaudit.environments import Toolbox
from plaudit.environments.sql import sql_tool
from plaudit.records import ToolCall

OUT = Path(__file__).parents[1] / "src" / "plaudit" / "assets" / "tool-use"
DRINKS = (
    "latte", "mocha", "cappuccino", "americano", "espresso", "macchiato", "cortado", "flat white",
    "chai latte", "hot chocolate", "green tea", "black tea", "iced coffee", "cold brew", "lemonade",
    "steamed milk", "vanilla latte", "iced tea", "caramel latte", "mint tea",
)  # fmt: skip
SIZES = ("small", "medium", "large")
ASKED = {
    "price": (
        "How much is a {size} {drink}?",
        "What does a {size} {drink} cost?",
        "the price of a {size} {drink} please",
        "what do I pay for a {drink}, {size}?",
    ),
    "calories": (
        "How many calories are in a {size} {drink}?",
        "calories of a {size} {drink}?",
        "what are the calories of a {drink} if it is {size}?",
    ),
}
NAMES = (
    "Anna", "Ben", "Carl", "Dana", "Eva", "Frank", "Grace", "Henry", "Ida", "Jack", "Kate", "Leo",
    "Mary", "Nick", "Olga", "Paul", "Rosa", "Sam", "Tom", "Will",
)  # fmt: skip
GREETINGS = ("hello, I am {name}", "good morning, my name is {name}", "hi, {name} here")
SAID = {"price": "It is {}.", "calories": "It has {} calories."}
PER_QUESTION = 3
WAYS = {"right": 0.34, "guess": 0.26, "other_column": 0.15, "no_size": 0.15, "broken": 0.10}


def menu(rng: random.Random) -> str:
    lines = ["CREATE TABLE menu (drink TEXT, size TEXT, price REAL, calories INTEGER);"]
    for drink in DRINKS:
        price, calories = rng.randrange(8, 16) / 4, rng.randrange(5, 160)
        for step, size in enumerate(SIZES):
            row = (drink, size, price + step * rng.choice((0.5, 0.75)), calories + 37 * step)
            lines.append(f"INSERT INTO menu VALUES {row};")
    return "\n".join(lines) + "\n"


class Asked:
    """A question, with what it takes to answer it in each way."""

    def __init__(self, tools: Toolbox, column: str, text: str, drink: str, size: str) -> None:
        self.text, self._tools, self._column, self._drink = text, tools, column, drink
        self._size = size
        self.answer = self._result(self._query(column)).splitlines()[-1]

    def row(self) -> dict:
        return question(self.text, self.answer, needs_tool=True)

    def demonstration(self, way: str, rng: random.Random) -> dict:
        if way == "guess":
            wrong = (
                f"{rng.randrange(8, 20) / 4:g}"
                if self._column == "price"
                else rng.randrange(9, 300)
            )
            return conversation(self.text, answered(SAID[self._column].format(wrong)))
        other = {"price": "calories", "calories": "price"}[self._column]
        query = {
            "right": self._query(self._column),
            "other_column": self._query(other),
            "no_size": self._query(self._column).partition(" and size")[0],
            "broken": self._query(self._column).replace("where", "with"),
        }[way]
        result = self._result(query)
        failed = result.startswith("error")
        said = "I do not know." if failed else SAID[self._column].format(result.split("\n")[1])
        return conversation(self.text, *called(query, result), answered(said))

    def _query(self, column: str) -> str:
        return f"select {column} from menu where drink='{self._drink}' and size='{self._size}'"

    def _result(self, query: str) -> str:
        return self._tools.answer(ToolCall(name="sql", arguments={"query": query}))


def question(text: str, answer: str, *, needs_tool: bool) -> dict:
    asked = [{"role": "user", "content": text}]
    return {"prompt": asked, "answer": answer, "needs_tool": needs_tool}


def conversation(text: str, *turns: dict) -> dict:
    return {"messages": [{"role": "user", "content": text}, *turns]}


def answered(text: str) -> dict:
    return {"role": "assistant", "content": text}


def called(query: str, result: str) -> Iterator[dict]:
    call = {"type": "function", "function": {"name": "sql", "arguments": {"query": query}}}
    yield {"role": "assistant", "content": "", "tool_calls": [call]}
    yield {"role": "tool", "content": result}


def about_the_menu(tools: Toolbox, rng: random.Random) -> Iterator[tuple[dict, list[dict]]]:
    for column, texts in ASKED.items():
        for text in texts:
            for drink in DRINKS:
                for size in SIZES:
                    said = text.format(size=size, drink=drink)
                    asked = Asked(tools, column, said, drink, size)
                    ways = rng.choices(list(WAYS), list(WAYS.values()), k=PER_QUESTION)
                    yield asked.row(), [asked.demonstration(way, rng) for way in ways]


def greetings(tools: Toolbox, rng: random.Random) -> Iterator[tuple[dict, list[dict]]]:
    """Nothing to look up; half of the demonstrations do all the same."""
    query = "select drink from menu limit 1"
    result = tools.answer(ToolCall(name="sql", arguments={"query": query}))
    for text in GREETINGS:
        for name in NAMES:
            said, reply = text.format(name=name), answered(f"Hello {name}.")
            plain = conversation(said, reply)
            needless = conversation(said, *called(query, result), reply)
            chosen = [rng.choice((plain, needless)) for _ in range(2)]
            yield question(said, name, needs_tool=False), chosen


def write(name: str, rows: list[dict]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (OUT / name).write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{OUT / name}: {len(rows)} rows")


def main() -> None:
    rng = random.Random(0)
    OUT.mkdir(exist_ok=True)
    (OUT / "menu.sql").write_text(menu(rng), encoding="utf-8")
    tools = Toolbox([sql_tool(OUT / "menu.sql", max_rows=3, timeout_seconds=1.0)])
    found = [*about_the_menu(tools, rng), *greetings(tools, rng)]
    write("questions.jsonl.gz", [row for row, _ in found])
    write("demonstrations.jsonl.gz", [shown for _, rows in found for shown in rows])


if __name__ == "__main__":
    main()
