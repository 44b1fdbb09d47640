"""What goes wrong in imports of published data, each once: colons, signs, ties, failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from plaudit.formats import load_judged
from plaudit.formats.exchange import write_exchange
from plaudit.judgments import Pairwise, Ranked, Rated, RedTeamed, Skipped
from plaudit.records import Message
from tests import exchange_samples as samples
from tests.exchange_read import answers, judged, read


def test_colons_in_prompts_survive(tmp_path: Path) -> None:
    (entry,) = read(tmp_path, samples.HH, ".jsonl")
    assert entry.item.prompt == (Message(role="user", content="Note: what is a cat: a pet?"),)
    assert entry.item.candidates[0].content == (Message(role="assistant", content="Yes: a pet."),)
    assert answers([entry]) == [Pairwise(strength=-2)]


def test_a_text_that_would_be_another_turn_is_no_transcript(tmp_path: Path) -> None:
    row = {"prompt": [{"role": "user", "content": "Hi\n\nHuman: yo"}],
           "chosen": [{"role": "assistant", "content": "a"}],
           "rejected": [{"role": "assistant", "content": "b"}]}  # fmt: skip
    rows = write_exchange(read(tmp_path, [row]), "hh")
    assert (rows.values, rows.losses) == ((), {"judgment (pairwise)": 1})


def test_an_attack_is_rated_by_who_made_it(tmp_path: Path) -> None:
    (entry,) = read(tmp_path, samples.RED_TEAM, ".jsonl")
    (judgment,) = entry.judgments
    assert judgment.answer == RedTeamed(severities=(3,))
    assert (judgment.rater.id, judgment.flags) == ("17", ("Insult",))
    assert entry.item.prompt == (Message(role="user", content="Be rude: now"),)
    assert len(entry.item.candidates[0].content) == 3


def test_not_applicable_is_no_mark_and_the_overall_score_is_not_trusted(tmp_path: Path) -> None:
    (judgment,) = judged(read(tmp_path, samples.ULTRAFEEDBACK))
    assert judgment.criteria == {"honesty": (2.0, 4.0), "truthfulness": (None, None)}
    assert judgment.answer == Rated(values=(2.0, 4.0))


def test_equal_scores_are_a_tie_though_one_is_called_chosen(tmp_path: Path) -> None:
    found = read(tmp_path, [samples.BINARISED[0] | {"score_rejected": 8.5}])
    assert answers(found) == [Pairwise(strength=0)]


def test_ranks_of_siblings_and_rankings_of_people(tmp_path: Path) -> None:
    first, second = read(tmp_path, samples.OASST, ".jsonl")
    assert answers([first]) == [
        Ranked(ranks=(2, 1, 3)), Ranked(ranks=(2, 1, 3)), Skipped(reason="not rankable"),
    ]  # fmt: skip
    assert [judgment.rater.id for judgment in first.judgments] == ["oasst", "user-9", "user-8"]
    assert first.unread == ("replies without a rank",)
    assert len(second.item.prompt) == 3
    assert "user-9" not in first.item.model_dump_json()


def test_a_pair_counts_for_something(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "Sky", "chosen": " a", "rejected": " b", "weight": 0}')
    with pytest.raises(ValueError, match=r"pairs\.jsonl:1: weight is 0; expected a number above 0"):
        load_judged(str(path))


def test_trees_without_ranks_are_counted(tmp_path: Path) -> None:
    other = samples.OASST_MESSAGES[0] | {"message_id": "other"}
    (entry,) = read(tmp_path, [*samples.OASST_MESSAGES, other], ".jsonl")
    assert entry.unread == ("tree in which nothing is ranked",)
    with pytest.raises(ValueError, match="holds nothing that was judged"):
        read(tmp_path, [other], ".jsonl")


def test_equal_ranks_of_siblings_are_ties(tmp_path: Path) -> None:
    replies = [samples.message(id, "a", id, rank=1) for id in "bc"]
    root = samples.message("a", None, "Hi", replies=replies)
    row = {"message_tree_id": "a", "tree_state": "growing", "prompt": root}
    assert answers(read(tmp_path, [row])) == [Pairwise(strength=0)]


def test_votes_of_the_arena(tmp_path: Path) -> None:
    found = read(tmp_path, samples.ARENA, ".jsonl")
    bad = Pairwise(strength=0, both_bad=True)
    tie = Pairwise(strength=0)
    assert answers(found) == [Pairwise(strength=-2), Pairwise(strength=2), tie, bad, bad]
    assert [c.source for c in found[0].item.candidates] == ["m1", "m2"]


def test_a_judge_that_failed_is_no_vote(tmp_path: Path) -> None:
    first, second = read(tmp_path, samples.MT_BENCH, ".jsonl")
    assert answers([first]) == [Pairwise(strength=-2), Skipped(reason="error")]
    assert [judgment.shown for judgment in first.judgments] == [(0, 1), (1, 0)]
    assert answers([second]) == [Pairwise(strength=0), Pairwise(strength=2)]
    # Both sides are read: the left text does not stand for both.
    left, right = (candidate.content for candidate in second.item.candidates)
    assert (left[-1], right[-1]) == (
        Message(role="assistant", content="Hello!"), Message(role="assistant", content="What?"),
    )  # fmt: skip


def test_a_score_that_could_not_be_read_is_not_zero(tmp_path: Path) -> None:
    found = read(tmp_path, samples.MT_BENCH_SINGLE, ".jsonl")
    assert answers(found) == [Rated(values=(9.0,)), Skipped(reason="error")]


def test_below_zero_the_first_is_better(tmp_path: Path) -> None:
    found = answers(read(tmp_path, samples.HELPSTEER2, ".jsonl"))
    assert [answer.strength for answer in found] == [-3, -1, 0, 2]
    found = answers(read(tmp_path, samples.HELPSTEER3, ".jsonl"))
    assert [answer.strength for answer in found] == [-3, 1]


def test_a_positive_score_of_the_first_answer_is_for_the_first(tmp_path: Path) -> None:
    found = answers(read(tmp_path, samples.WEBGPT, ".jsonl"))
    assert [answer.strength for answer in found] == [3, 2, 0, -1]


def test_preferences_between_one_and_two_are_probabilities(tmp_path: Path) -> None:
    found = judged(read(tmp_path, samples.ALPACA_EVAL))
    strengths = [getattr(judgment.answer, "strength", None) for judgment in found]
    assert strengths == [-2, 2, 0, 0, -2, 2, None]
    assert [judgment.confidence for judgment in found[4:6]] == pytest.approx([0.9, 0.9])
    assert found[4].raw == {"alpaca_eval": samples.ALPACA_EVAL[4]}
    assert found[6].answer == Skipped(reason="error")


def test_the_second_summary_and_how_sure(tmp_path: Path) -> None:
    (judgment,) = judged(read(tmp_path, samples.SUMMARIES, ".jsonl"))
    assert judgment.answer == Pairwise(strength=2)
    assert judgment.confidence == 7 / 8
