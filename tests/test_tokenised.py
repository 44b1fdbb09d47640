"""Many rows are tokenised as each by itself is, once, and then read from where they were kept."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import numpy as np
import pytest

from plaudit import caches
from plaudit.records import Message, ToolCall
from plaudit.text import Renderer
from plaudit.text.tokenised import Asked, tokenised


def said(role, content: str) -> Message:
    return Message(role=role, content=content)


ASK = (said("user", "A latte, please."),)
CALL = Message(role="assistant", tool_calls=(ToolCall(name="show_menu", arguments={}),))
ROWS = [
    Asked("chat", ASK, ((said("assistant", "Hot or iced?"),), (said("assistant", "No."),))),
    Asked("turns", ASK, ((CALL, said("tool", '["latte"]'), said("assistant", "One latte.")),)),
    Asked("plain", "one latte", (", please", ", iced", "")),
    Asked("prompt alone", ASK),
]


@pytest.fixture(scope="module")
def nano(coffee_tokenizer) -> Renderer:
    return Renderer(coffee_tokenizer, (coffee_tokenizer.eos_token_id,))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("plaudit.text.tokenised.LEAST_ROWS", len(ROWS))
    return tmp_path / "plaudit" / "tokens"


def plain(rows) -> list:
    """Rows as nested lists."""
    return [
        [prompt_P.tolist(), [[tokens.ids.tolist(), tokens.mask.tolist()] for tokens in responses]]
        for prompt_P, responses in rows
    ]


def one_by_one(renderer: Renderer) -> list:
    return plain(renderer.with_responses(row.prompt, row.responses) for row in ROWS)


def never(*_: object) -> None:
    raise AssertionError("tokenised again")


def test_what_was_kept_is_what_each_row_gives(nano, place, monkeypatch) -> None:
    expected = one_by_one(nano)
    assert plain(tokenised(ROWS, nano)) == expected
    assert len(list(place.iterdir())) == 1
    monkeypatch.setattr(Renderer, "encoded", never)
    assert plain(tokenised(ROWS, nano)) == expected


def test_rows_are_tokenised_in_portions(nano, monkeypatch) -> None:
    monkeypatch.setattr("plaudit.text.tokenised._ROWS_AT_ONCE", 3)
    assert plain(tokenised(ROWS, nano)) == one_by_one(nano)


def test_kept_arrays_are_mapped_and_cannot_be_changed(nano) -> None:
    list(tokenised(ROWS, nano))
    prompt_P, responses = next(iter(tokenised(ROWS, nano)))
    for array in (prompt_P, responses[0].ids, responses[0].mask):
        assert type(array) is np.ndarray and not array.flags.writeable
        assert isinstance(array.base.base, np.memmap)


def test_nothing_is_shared_by_what_differs(nano, place) -> None:
    stops = (*nano.stop_ids, 5)
    told = [{"type": "function", "function": {"name": "show_menu", "parameters": {}}}]
    renderers = [nano, Renderer(nano.tokenizer, stops), nano.with_tools(told)]
    larger = copy.deepcopy(nano.tokenizer)
    larger.add_tokens(["latte"])
    renderers.append(Renderer(larger, nano.stop_ids))
    texts = [row for row in ROWS if isinstance(row.prompt, str)] * 4
    for kept, renderer in enumerate(renderers, start=1):
        found = plain(tokenised(texts, renderer))
        assert found == plain(renderer.with_responses(r.prompt, r.responses) for r in texts)
        assert len(list(place.iterdir())) == kept
    split = [Asked(row.id, row.prompt + row.responses[0], ("",)) for row in texts]
    list(tokenised(split, nano))
    assert len(list(place.iterdir())) == len(renderers) + 1


@pytest.mark.parametrize("damage", ["cut", "missing", "shorter"])
def test_what_is_damaged_is_made_anew(nano, place, damage: str) -> None:
    expected = plain(tokenised(ROWS, nano))
    (kept,) = place.iterdir()
    ids = kept / "id_T.npy"
    if damage == "cut":
        ids.write_bytes(ids.read_bytes()[:-8])
    elif damage == "missing":
        ids.unlink()
    else:
        np.save(ids, np.load(ids)[:-1])
    assert plain(tokenised(ROWS, nano)) == expected
    assert plain(tokenised(ROWS, nano)) == expected
    assert len(np.load(ids)) == len(np.load(kept / "written_T.npy")), "mended"


def test_few_rows_and_unknown_tokenizers_are_not_kept(nano, place, monkeypatch) -> None:
    assert plain(tokenised(ROWS[:-1], nano)) == one_by_one(nano)[:-1]
    monkeypatch.setattr(type(nano.tokenizer), "__module__", "somebodys.code")
    assert nano.fingerprint() is None
    assert plain(tokenised(ROWS, nano)) == one_by_one(nano)
    assert not place.exists()


def test_a_folder_that_cannot_be_written_is_no_fault(nano, place, caplog) -> None:
    place.parent.write_text("a file where the folder would be")
    with caplog.at_level("INFO"):
        assert plain(tokenised(ROWS, nano)) == one_by_one(nano)
    assert "not kept for the next time" in caplog.text


def test_what_somebody_else_keeps_is_read_all_the_same(nano, monkeypatch) -> None:
    expected = plain(tokenised(ROWS, nano))

    def refused(*_: object) -> None:
        raise OSError("a file system that is read alone")

    monkeypatch.setattr(os, "utime", refused)
    monkeypatch.setattr(Renderer, "encoded", never)
    assert plain(tokenised(ROWS, nano)) == expected


def test_what_nobody_used_is_deleted(nano, place) -> None:
    list(tokenised(ROWS, nano))
    (kept,) = place.iterdir()
    list(tokenised(list(reversed(ROWS)), nano))
    assert kept.exists()
    long_ago = kept.stat().st_mtime - (caches.KEPT_DAYS + 1) * 86_400
    os.utime(kept, (long_ago, long_ago))
    list(tokenised(ROWS, nano))
    assert kept.stat().st_mtime > long_ago, "used"
    os.utime(kept, (long_ago, long_ago))
    list(tokenised(ROWS + ROWS, nano))
    assert not kept.exists() and len(list(place.iterdir())) == 2


@pytest.mark.parametrize("least", [1, 100])
def test_a_fault_says_which_prompt(nano, monkeypatch, least: int) -> None:
    monkeypatch.setattr("plaudit.text.tokenised.LEAST_ROWS", least)
    wrong = [*ROWS, Asked("bad one", ASK, (ASK,))]
    with pytest.raises(ValueError, match="bad one: a response begins with a message by the assist"):
        list(tokenised(wrong, nano))
