"""What several rows say of one prompt stands together: distinct responses, all judgments."""

from __future__ import annotations

from pathlib import Path

from plaudit.formats import load_judged, merge
from plaudit.records import Judged, Preference, Prompt, Rating, Response
from tests.rows import RATINGS, turns, write


def test_shipped_ratings_are_merged_by_context():
    judged = load_judged(RATINGS)
    assert sum(int(r.weight) for j in judged for r in j.ratings) == 2500
    contexts = [tuple(m.model_dump_json() for m in turns(j.prompt.content)) for j in judged]
    assert len(set(contexts)) == len(contexts)
    for j in judged:
        value = {r.response: r.value for r in j.ratings}
        assert all(value[p.better] > 0.5 > value[p.worse] for p in j.preferences)
    assert merge(judged) == judged


def test_equal_prompts_and_responses_are_merged(tmp_path: Path):
    rows = [
        {"prompt": "p", "chosen": "a", "rejected": "b", "answer": 1, "score": 1},
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"prompt": "p", "chosen": "c", "rejected": "a", "answer": 1, "score": 2},
        {"prompt": "p", "chosen": "b", "rejected": "a", "answer": 1},
    ]
    one, other = load_judged(write(tmp_path / "a.jsonl", *rows))
    assert [r.content for r in one.responses] == ["a", "b", "c"]
    assert [(p.better, p.worse) for p in one.preferences] == [(0, 1), (2, 0), (1, 0)]
    assert (one.prompt.id, other.prompt.id) == ("a.jsonl:1", "a.jsonl:2")
    assert one.prompt.columns == {"answer": 1}
    assert merge([one, other]) == [one, other]


def test_ratings_of_equal_responses_become_their_mean(tmp_path: Path):
    labels = [("a", True), ("a", False), ("a", True), ("b", False), ("b", False)]
    rows = [{"prompt": "p", "completion": text, "label": label} for text, label in labels]
    (one,) = load_judged(write(tmp_path / "a.jsonl", *rows))
    assert one.ratings == (
        Rating(response=0, value=2 / 3, weight=3.0),
        Rating(response=1, value=0.0, weight=2.0),
    )
    assert one.preferences == (Preference(better=0, worse=1),)


def test_a_preference_between_equal_responses_says_nothing():
    prompt = Prompt(id="p", conversation="p", content="p")
    responses = Response(content="a", source="x"), Response(content="a", source="y")
    pair = Judged(prompt=prompt, responses=responses, preferences=(Preference(better=1, worse=0),))
    (one,) = merge([pair])
    assert one.responses == responses[:1] and one.preferences == ()
