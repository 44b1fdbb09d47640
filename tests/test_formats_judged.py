"""Plaudit's own shape of judgments: rankings, ties and ratings of several responses."""

from __future__ import annotations

from pathlib import Path

import pytest

from plaudit.formats import load_judged, load_judgments
from plaudit.records import Message, Preference, Rating
from tests.small import write_rows

ROW = {"prompt": "q", "responses": ["a", "b", "c"]}


def read(tmp_path: Path, *rows: dict):
    return load_judged(write_rows(tmp_path / "j.jsonl", list(rows)))


def test_a_ranking_is_each_response_over_those_after_it(tmp_path: Path):
    (found,) = read(tmp_path, {**ROW, "ranking": [2, 0, 1], "annotator": "x"})
    pairs = [(p.better, p.worse) for p in found.preferences]
    assert pairs == [(2, 0), (2, 1), (0, 1)]
    assert found.prompt.columns == {"annotator": "x"}


def test_preferences_and_ratings_are_taken_as_they_stand(tmp_path: Path):
    said = {"better": 1, "worse": 0, "probability": 0.5, "margin": 1, "weight": 2}
    rated = {"response": 2, "value": 1}
    (found,) = read(tmp_path, {**ROW, "preferences": [said], "ratings": [rated]})
    assert found.preferences == (
        Preference(better=1, worse=0, probability=0.5, margin=1.0, weight=2.0),
    )
    assert found.ratings == (Rating(response=2, value=1.0),)


def test_messages(tmp_path: Path):
    row = {
        "prompt": [{"role": "user", "content": "q"}],
        "responses": [[{"role": "assistant", "content": c}] for c in "ab"],
        "ranking": [1, 0],
    }
    (found,) = read(tmp_path, row)
    assert found.prompt.content == (Message(role="user", content="q"),)
    assert found.responses[1].content == (Message(role="assistant", content="b"),)


def test_rows_of_one_prompt_are_brought_together_or_not(tmp_path: Path):
    rows = [{"prompt": "q", "responses": ["a", "b"], "ranking": [0, 1], "criterion": c}
            for c in ("kind", "short")]  # fmt: skip
    (merged,) = read(tmp_path, *rows)
    assert len(merged.preferences) == 2 and not merged.prompt.columns
    apart = load_judgments(write_rows(tmp_path / "k.jsonl", rows))
    assert [one.prompt.columns["criterion"] for one in apart] == ["kind", "short"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"ranking": [0, 3]}, r"ranking is \[0, 3\] of 3 responses"),
        ({"ranking": [0, 0]}, r"ranking is \[0, 0\] of 3 responses"),
        ({"ranking": {"a": 1}}, "ranking is"),
        ({"preferences": [[0, 1]]}, "preferences is"),
        ({"preferences": [{"better": 0, "worse": 3}]}, "names response 3, but there are 3"),
        ({"preferences": [{"better": 0}]}, "worse: Field required"),
        ({"ratings": [{"response": 0, "value": 2}]}, "value: Input should be less than or equal"),
        ({"responses": []}, r"responses is \[\]"),
        ({"responses": [1]}, "responses holds 1"),
        ({"responses": [[{"role": "assistant", "content": "a"}]]}, "some are text, others"),
    ],
)
def test_faults(more: dict, message: str, tmp_path: Path):
    with pytest.raises(ValueError, match=r"j\.jsonl:1: .*" + message):
        read(tmp_path, {**ROW, **more})
