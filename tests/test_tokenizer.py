"""nano's tokenizer, and reading tool calls back from what a model wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plaudit.records import Message, ToolCall
from plaudit.text import eos_id, load_tokenizer, pad_id, parse_assistant, save_tokenizer
from plaudit.text import train_tokenizer as train

CONTROL = [
    "<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>",
    "<|call|>", "<|tools|>",
]  # fmt: skip
BYTES = 256


def random_texts(count: int) -> list[str]:
    """Characters from all of Unicode, but for the halves of surrogate pairs, which are no text."""
    rng = np.random.default_rng(0)
    limits = [0x80, 0x800, 0xD800, 0x110000]
    points = [rng.integers(0, rng.choice(limits), rng.integers(1, 30)) for _ in range(count)]
    return ["".join(chr(p) for p in text if not 0xD800 <= p < 0xE000) for text in points]


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "\n", "\r\n\t  x  ", "naïve café", "e\u0301 é", "日本語と한국어",
        "👩\u200d👩\u200d👧🏽", "\u202eעברית", "\x00\x07\x1b", "it's I'LL don't",
        "snake_case __init__", '{"a":[1,2,{"b":null}]}',
    ],
)  # fmt: skip
def test_every_text_comes_back_as_it_was(text: str, coffee_tokenizer):
    ids = coffee_tokenizer.encode(text, add_special_tokens=False)
    assert coffee_tokenizer.decode(ids) == text


def test_random_unicode_comes_back_as_it_was(coffee_tokenizer):
    for text in random_texts(300):
        ids = coffee_tokenizer.encode(text, add_special_tokens=False)
        assert coffee_tokenizer.decode(ids) == text
        assert max(ids, default=0) < len(coffee_tokenizer)


def test_control_tokens_come_first_and_are_one_token_each(coffee_tokenizer):
    assert coffee_tokenizer.convert_tokens_to_ids(CONTROL) == list(range(len(CONTROL)))
    for i, token in enumerate(CONTROL):
        assert coffee_tokenizer.encode(f"a{token}", add_special_tokens=False)[1:] == [i]
    assert (pad_id(coffee_tokenizer), coffee_tokenizer.bos_token_id) == (0, 1)
    assert eos_id(coffee_tokenizer) == 2
    assert set(coffee_tokenizer.all_special_tokens) == set(CONTROL)


def test_the_vocabulary_has_the_size_asked_for(coffee_tokenizer):
    assert len(coffee_tokenizer) == 600
    assert len(coffee_tokenizer.encode(" please", add_special_tokens=False)) == 1
    digits = coffee_tokenizer.encode("2024", add_special_tokens=False)
    assert len(digits) == 4


def test_a_vocabulary_without_room_for_bytes_is_refused():
    least = len(CONTROL) + BYTES
    with pytest.raises(ValueError, match=f"vocab_size={least}: expected more than {least}"):
        train(["a latte"], vocab_size=least)
    assert len(train(["a latte, a latte"], vocab_size=least + 1)) == least + 1


def test_training_is_deterministic():
    texts = ["one latte please", "two lattes please"] * 3
    first, second = (train(texts, vocab_size=280) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()


def test_a_saved_tokenizer_is_the_same_one(coffee_tokenizer, tmp_path: Path):
    save_tokenizer(coffee_tokenizer, tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.get_vocab() == coffee_tokenizer.get_vocab()
    assert loaded.chat_template == coffee_tokenizer.chat_template
    assert loaded.all_special_tokens == coffee_tokenizer.all_special_tokens
    text = "<|user|>a latte<|end|> it's 12"
    assert loaded.encode(text) == coffee_tokenizer.encode(text)


@pytest.mark.parametrize("content", ["{", "[]", '{"model": {"type": "Unheard"}}'])
def test_a_damaged_tokenizer_is_an_error_that_names_it(
    content: str, coffee_tokenizer, tmp_path: Path
):
    save_tokenizer(coffee_tokenizer, tmp_path)
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ValueError, match=f"{tmp_path}: no usable tokenizer") as raised:
        load_tokenizer(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_tokenizer_that_cannot_stop_is_refused(tmp_path: Path):
    tokenizer = train(["a latte"], vocab_size=280)
    tokenizer.eos_token = None
    save_tokenizer(tokenizer, tmp_path)
    with pytest.raises(ValueError, match="no EOS token"):
        load_tokenizer(tmp_path)


def call(name: str, **arguments) -> ToolCall:
    return ToolCall(name=name, arguments=arguments)


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ("Sure!", "Sure!", []),
        ("<|call|>show_menu {}", "", [call("show_menu")]),
        ('One moment.<|call|>f {"a":1}<|call|>g {"b":"x y"}', "One moment.",
         [call("f", a=1), call("g", b="x y")]),
        ('Hm. <tool_call>\n{"name": "f", "arguments": {"a": [true]}}\n</tool_call>', "Hm.",
         [call("f", a=[True])]),
        ('<tool_call>{"name":"f"}</tool_call>\n<tool_call>{"name":"g"}</tool_call>', "",
         [call("f"), call("g")]),
        ('<tool_call>{"name":"f"}</tool_call> There you are.', "There you are.", [call("f")]),
    ],
)  # fmt: skip
def test_calls_are_read_from_both_notations(text: str, content: str, calls: list[ToolCall]):
    expected = Message(role="assistant", content=content, tool_calls=tuple(calls))
    assert parse_assistant(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "<|call|>",
        "<|call|>show_menu",
        "<|call|> {}",
        '<|call|>f {"a":1',
        '<|call|>f {"a":1} and so on',
        "<|call|>f [1]",
        '<|call|>f {"a":NaN}',
        '<|call|>f {"a":"\\ud800"}',
        "<|call|>f " + '{"a":' * 5000,
        "<|call|>f " + '{"a":' * 5000 + "1" + "}" * 5000,
        '<tool_call>{"name": "f", "arguments": {}}',
        '<tool_call>{"arguments": {}}</tool_call>',
        '<tool_call>{"name": 3}</tool_call>',
        '<tool_call>{"name": ""}</tool_call>',
        '<tool_call>{"name": "f", "arguments": "{}"}</tool_call>',
        "<tool_call>f()</tool_call>",
    ],
)
def test_broken_calls_are_errors(text: str):
    with pytest.raises(ValueError, match="not a tool call"):
        parse_assistant(text)
