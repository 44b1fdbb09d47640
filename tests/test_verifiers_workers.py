"""Verifiers in processes: verdicts in order, deadlines that kill, and failures that are counted."""

from __future__ import annotations

import time

import numpy as np
import psutil
import pytest

from plaudit.records import Invalid, Prompt, Rollout, Score
from plaudit.scoring import open_verifier
from plaudit.verifiers import Workers

OWN = "tests.misbehaving:misbehaving"


def opened(**options):
    return open_verifier(OWN, {"workers": 2, "deadline_seconds": 3.0, **options})


def test_every_failure_is_invalid_with_its_reason_and_the_rest_is_scored():
    texts = ["ab", "hang", "abc", "die", "raise", "hang", "deep", "greedy", "invalid", "nan",
             "text", "loud", "a"]  # fmt: skip
    scorer = opened(scale=2.0)
    found = scorer.verify([(text, {}) for text in texts])
    scorer.close()
    said = dict(zip(texts, (f.reason if isinstance(f, Invalid) else f for f in found), strict=True))
    assert said == {
        "ab": 4.0, "abc": 6.0, "a": 2.0, "loud": 8.0,
        "hang": "took longer than 3 s",
        "die": "the verifier's process died (exit 3)",
        "raise": "KeyError: 'the key'",
        "deep": "RecursionError: maximum recursion depth exceeded",
        "greedy": "MemoryError: ",
        "invalid": "cannot say",
        "nan": "the verifier returned nan",
        "text": "the verifier returned '1'",
    }  # fmt: skip


def test_what_hangs_is_killed():
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    scorer = opened(workers=1, deadline_seconds=2.0)
    assert scorer.verify([("ab", {})]) == [2.0]
    began = time.monotonic()
    (found,) = scorer.verify([("hang", {})])
    assert isinstance(found, Invalid) and 2 <= time.monotonic() - began < 30
    scorer.close()
    assert {p.pid for p in psutil.Process().children(recursive=True)} <= before


def test_processes_end_with_their_scorer():
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    scorer = opened()
    scorer.verify([("ab", {})] * 4)
    assert {p.pid for p in psutil.Process().children(recursive=True)} - before
    del scorer
    assert {p.pid for p in psutil.Process().children(recursive=True)} <= before


def test_expressions_that_explode_do_not_hold_up_the_rest():
    scorer = open_verifier("math", {"workers": 1, "deadline_seconds": 3.0})
    items = [
        ("$9^{9^{9^{9}}}$", {"answer": "9^{9^{9^{8}}}"}),
        ("1/2", {"answer": "0.5"}),
        ("x", {}),
    ]
    huge, half, missing = scorer.verify(items)
    scorer.close()
    assert half == 1.0 and missing == Invalid(reason="the prompt's row has no column answer")
    assert huge == 0.0 or isinstance(huge, Invalid)


def test_a_pattern_without_end_is_ended():
    scorer = open_verifier("regex", {"workers": 1, "deadline_seconds": 3.0, "pattern": "^(a+)+$"})
    assert scorer.verify([("a" * 50 + "!", {}), ("aa", {})]) == [
        Invalid(reason="took longer than 3 s"),
        1.0,
    ]
    scorer.close()


def test_rollouts_are_scored_by_their_text_and_their_prompt_s_columns():
    prompt = Prompt(id="a", conversation="a", content="2 + 2 =", columns={"answer": "4"})
    rollouts = [
        Rollout(
            prompt=prompt, prompt_ids=np.zeros(1, np.int32), ids=np.zeros(1, np.int32),
            logprobs=np.zeros(1, np.float32), text=text, finish_reason="stop", policy_version=0,
            index=i,
        )
        for i, text in enumerate(["4", "5"])
    ]  # fmt: skip
    scorer = open_verifier("exact", {"workers": 1})
    assert scorer.score(rollouts) == [
        Score(value=1.0, parts={"exact": 1.0}),
        Score(value=0.0, parts={"exact": 0.0}),
    ]
    assert scorer.score([]) == []
    scorer.close()


def test_a_verifier_that_cannot_be_loaded_in_its_process_is_an_error():
    workers = Workers("tests.nowhere:f", {}, count=2, deadline_seconds=1.0)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"verifier tests\.nowhere:f: cannot be imported"):
            workers.verify([("a", {})] * 3)


def test_mistakes_are_told_before_anything_runs():
    for options, message in [
        ({"workers": 0}, "verifier exact: workers"),
        ({"deadline_seconds": -1}, "verifier exact: deadline_seconds"),
        ({"wrkers": 1}, "verifier exact: wrkers: no such option"),
    ]:
        with pytest.raises(ValueError, match=message):
            open_verifier("exact", options)
