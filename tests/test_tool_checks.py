"""Rules for tool calls, on real conversations and on calls that are wrong in every way."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from plaudit.assets import shipped
from plaudit.formats import load_demonstrations
from plaudit.records import Message, Messages
from plaudit.scoring import ToolChecks, Tools, check_turn, load_tools
from tests.rows import DIALOGUES, turns

GOOD = ToolChecks(calls=True, parses=True, fits_schema=True, grounded=True)


@cache
def coffee_tools() -> Tools:
    path = shipped("plaudit/coffee-bar/tools.json")
    assert path is not None
    return load_tools(path)


def as_written(message: Message) -> str:
    """A turn as nano writes it."""
    calls = [
        f"<|call|>{call.name} {json.dumps(call.arguments, separators=(',', ':'))}"
        for call in message.tool_calls
    ]
    return "".join([message.content, *calls])


CONTEXT: Messages = (
    Message(role="user", content="a mocha please"),
    Message(
        role="tool",
        content='{"menu_items":[{"menu_item_id":"mocha-3844","name":"Mocha"}],"order_id":"60179"}',
    ),
)


def check(text: str, context: Messages = CONTEXT) -> ToolChecks:
    return check_turn(text, context, coffee_tools())


def test_what_people_wrote_nearly_always_passes():
    found = []
    for dialogue in load_demonstrations(DIALOGUES, portion=(0.0, 0.25)):
        history = turns(dialogue.prompt.content)
        for message in turns(dialogue.response.content):
            if message.role == "assistant":
                checks = check(as_written(message), history)
                assert checks.calls == bool(message.tool_calls) and checks.parses
                found += [checks] if checks.calls else []
            history = (*history, message)
    assert len(found) > 3000
    assert all(checks.fits_schema for checks in found)
    valid = sum(checks.valid for checks in found) / len(found)
    # 0.997 when this was written: the rest are identifiers their writers mistyped.
    assert 0.99 < valid < 1.0


def test_a_good_call():
    assert check('<|call|>add_order_item {"menu_item_id":"mocha-3844","quantity":"1"}') == GOOD
    assert GOOD.valid


def test_a_turn_without_calls_is_valid():
    found = check("Here or to go?")
    assert found.valid and not found.calls


@pytest.mark.parametrize(
    "identifier",
    ["latte-1234", "mocha-384", "3844", "ocha-3844", "mocha-38444", "MOCHA-3844"],
)
def test_an_identifier_made_up_or_cut_short_is_caught(identifier: str):
    arguments = json.dumps({"menu_item_id": identifier, "quantity": "1"})
    found = check(f"<|call|>add_order_item {arguments}")
    assert found.fits_schema and not found.grounded and not found.valid


def test_every_call_of_a_turn_is_checked():
    good = '<|call|>get_order_details {"order_id":"60179"}'
    bad = '<|call|>get_order_details {"order_id":"60178"}'
    assert check(good + good) == GOOD
    assert not check(good + bad).grounded and not check(bad + good).grounded


def test_identifiers_inside_lists_of_objects_are_found():
    arguments = {
        "menu_item_id": "mocha-3844", "quantity": "1",
        "attributes": [{"attribute_id": "milk-options", "option": "Oat Milk"}],
    }  # fmt: skip
    text = f"<|call|>add_order_item {json.dumps(arguments)}"
    assert not check(text).grounded
    shown = Message(role="tool", content='{"attributes":[{"attribute_id":"milk-options"}]}')
    assert check(text, (*CONTEXT, shown)) == GOOD


@pytest.mark.parametrize(
    "text",
    [
        '<|call|>brew_coffee {"menu_item_id":"mocha-3844"}',
        '<|call|>add_order_item {"menu_item_id":"mocha-3844","quantity":1}',
        '<|call|>add_order_item {"quantity":"1"}',
        '<|call|>add_order_item {"menu_item_id":"mocha-3844","quantity":"1","size":"L"}',
        '<|call|>get_menu_items {"query":["mocha"]}',
        '<|call|>get_menu_items {"query":""}',
    ],
)
def test_unknown_tools_and_wrong_arguments_do_not_fit(text: str):
    found = check(text)
    assert found.calls and found.parses and not found.fits_schema and not found.valid


@pytest.mark.parametrize(
    "text", ["<|call|>", '<|call|>get_menu_items {"query":', "<|call|>get_menu_items mocha"]
)
def test_malformed_calls_do_not_parse(text: str):
    assert check(text) == ToolChecks(calls=True, parses=False, fits_schema=False, grounded=False)


def test_hermes_calls_are_checked_alike():
    call = {"name": "get_order_details", "arguments": {"order_id": "60179"}}
    assert check(f"<tool_call>{json.dumps(call)}</tool_call>") == GOOD


@pytest.mark.parametrize(
    "content",
    [
        "not JSON",
        "{}x",
        "[1]",
        '["add"]',
        '[{"type": "function"}]',
        '[{"function": {"name": "add"}}]',
        '[{"function": {"name": "add", "parameters": {"type": "nonsense"}}}]',
        b"\xff\xfe[]",
    ],
)
def test_a_file_that_describes_no_tools_is_an_error(content: str | bytes, tmp_path: Path):
    file = tmp_path / "tools.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"{file}: expected a JSON list of tools"):
        load_tools(file)
    with pytest.raises(ValueError, match="expected a JSON list of tools"):
        load_tools(tmp_path / "nowhere.json")
