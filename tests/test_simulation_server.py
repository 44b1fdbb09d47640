"""Simulated raters before the real server, over HTTP."""

import asyncio
import random
import secrets

import numpy as np
import pytest

from plaudit.commands.feedback_simulate import simulate
from plaudit.feedback.leads.dashboards_votes import latest_pairs
from plaudit.feedback.projects.questions import Question
from plaudit.feedback.simulation import (
    HttpLine,
    Mix,
    RaterClient,
    RaterKind,
    Refused,
    Reply,
    Seat,
    Terms,
    Truth,
    Unreachable,
    truths_of_items,
    work,
)
from plaudit.feedback.simulation.joining import enrol, signed_in
from plaudit.judgments import (
    Candidate,
    Item,
    Labelled,
    Pairwise,
    Skipped,
    Stepped,
    Withdrawn,
    Written,
)
from plaudit.statistics.dawid_skene import one_coin
from plaudit.statistics.habits import decided
from plaudit.statistics.majority import majority
from plaudit.statistics.rater_signs import flag_raters
from plaudit.statistics.votes import expected_accuracy
from plaudit.store import read, standing, verify
from plaudit.store.people import members
from plaudit.store.tokens import invite
from tests.judging import PAIRWISE, judging, served

QUESTIONS = [
    {"name": "overall", "kind": "pairwise", "rationale": "on_strong", "confidence": True,
     "criteria": [{"name": "clear", "scale": [0, 10]}]},
    {"name": "order", "kind": "ranking"},
    {"name": "marks", "kind": "rating", "scale": [1, 7], "rationale": "always"},
    {"name": "topic", "kind": "label", "labels": ["tea", "coffee"]},
    {"name": "write", "kind": "demonstration"},
    {"name": "proof", "kind": "steps"},
    {"name": "attack", "kind": "red_team"},
]  # fmt: skip


def pairs(count, seed=0):
    """Pairs whose utilities differ with a standard deviation of 1, and lengths by two doublings."""
    rng = random.Random(seed)
    for number in range(count):
        texts = [
            f"{place}{number} " + " ".join(rng.choices(["tea", "cup"], k=int(2 ** rng.gauss(5, 1))))
            for place in "AB"
        ]
        yield Item(
            id=f"i{number}",
            prompt=f"Question {number}?",
            candidates=tuple(
                Candidate(content=f"{place} {text}")
                for place, text in zip("AB", texts, strict=True)
            ),
            columns={"utilities": [rng.gauss(0, 0.7), rng.gauss(0, 0.7)]},
        )


def worked(url, mix, tokens, items):
    """All of the pool at work until nothing is left."""

    async def run():
        async with signed_in(url, mix, tokens) as seats:
            return await work(seats, Terms(truths=truths_of_items(items)))

    return asyncio.run(run())


def test_of_five_raters_the_signs_flag_the_three_who_do_not_judge(tmp_path, monkeypatch):
    items = list(pairs(110))
    mix = Mix(
        raters=(
            RaterKind(name="careful", noise=0.25),
            RaterKind(name="fair", noise=0.35),
            RaterKind(name="left", strategy="first"),
            RaterKind(name="long", noise=0.35, length_bias=2.0),
            RaterKind(name="random", strategy="random"),
        )
    )
    with monkeypatch.context() as set_up:
        # Who sees a pair in which order is drawn from the project's secret and the rater's id.
        drawn = random.Random(0)
        set_up.setattr(secrets, "token_hex", lambda many=32: drawn.randbytes(many).hex())
        judged = judging(tmp_path, items, overlap={"votes": 5})
        tokens = enrol(judged.store, judged.project, mix)
    with served(judged) as url:
        tallies = worked(url, mix, tokens, items)
    assert [len(one.acknowledged) for one in tallies] == [110] * 5

    found = latest_pairs(judged.store, judged.project)
    assert found is not None
    votes, raters = found
    kinds = {one.rater.id: one.rater.version for one in standing(judged.store, judged.project)}
    signs = flag_raters(votes)
    reasons = {kinds[raters[w]]: signs.reasons[w] for w in range(len(raters))}
    assert {kind for kind, why in reasons.items() if why} == {"left", "long", "random"}, reasons
    assert "left" in reasons["left"] and "longer" in reasons["long"]

    order = {id: number for number, id in enumerate(sorted({item.id for item in items}))}
    utilities = {item.id: item.columns["utilities"] for item in items}
    truth = np.array([utilities[id][1] > utilities[id][0] for id in order]).astype(int)
    decisive = decided(votes).votes
    by_skill = expected_accuracy(one_coin(decisive).posterior_IK, truth)
    by_count = expected_accuracy(majority(decisive).posterior_IK, truth)
    assert by_skill > by_count + 0.03


class Handing:
    """A server that hands these tasks out in this order, and hears what is said of each."""

    def __init__(self, numbers):
        self.left, self.said = [*numbers], []

    async def send(self, method, path, body):
        if method == "POST":
            self.said.append((self.left.pop(0), body["answer"], body["active_seconds"]))
            return Reply(200, {"seq": len(self.said), "next": self._next()})
        question = Question(kind="pairwise").model_dump(mode="json")
        return Reply(200, self._next() if path.endswith("/next") else {"questions": [question]})

    def _next(self):
        if not self.left:
            return {"assignment": None}
        texts = [{"text": f"{place} of {self.left[0]}"} for place in "AB"]
        prompt = {"text": str(self.left[0])}
        shown = {"id": "a", "question": "overall", "prompt": prompt}
        return {"assignment": shown | {"candidates": texts, "steps": []}}


def test_what_a_rater_says_of_a_task_does_not_hang_on_those_before_it():
    def said_of(numbers, seat=0, seed=0):
        line = Handing(numbers)
        kind = RaterKind(name="unsure", noise=1.0)
        seats = [Seat(kind=kind, number=seat, client=RaterClient(line, "tea"))]
        truths = lambda prompt, texts, group: Truth(utilities=(0.0, 0.0))  # noqa: E731
        asyncio.run(work(seats, Terms(truths=truths, seed=seed)))
        return line.said

    there, back = said_of(range(20)), said_of(reversed(range(20)))
    assert there == back[::-1]
    assert said_of(range(20), seat=1) != there != said_of(range(20), seed=1)
    again = said_of([7] * 20)
    assert again[0] == there[7] and len({seconds for _, _, seconds in again}) == 20


def asked():
    """One item of every kind of question."""
    texts = ("Tea, of course.", "Coffee; it is what was asked.", "No.")
    three = tuple(Candidate(content=text) for text in texts)
    worth = {"utilities": [0.3, 1.5, -1.0]}
    steps = {"steps": ("1 + 1 = 2", "2 + 2 = 5"), "gold": Stepped(labels=("right", "wrong"))}
    made = [
        ("overall", {"candidates": three[:2], "columns": {"utilities": [0.3, 1.5]}}),
        ("order", {"candidates": three, "columns": worth}),
        ("marks", {"candidates": three, "columns": worth}),
        ("topic", {"gold": Labelled(label="coffee")}),
        ("write", {"gold": Written(text="Coffee is ready.")}),
        ("proof", {"candidates": three[:1], **steps}),
        ("attack", {"candidates": three[:1], "columns": {"utilities": [3.0]}}),
    ]
    for number, (question, more) in enumerate(made * 6):
        prompt = f"{number}: tea or coffee?"
        yield Item(id=f"{question}-{number}", question=question, prompt=prompt, **more)


def test_every_question_is_answered_whatever_they_do_on_the_way(tmp_path):
    items = list(asked())
    config = {"overlap": {"votes": 2}, "gold": {"onboarding": 18}}
    judged = judging(tmp_path, items, questions=QUESTIONS, **config)
    restless = {"undo_rate": 0.2, "draft_rate": 0.3, "reload_rate": 0.3, "skip_rate": 0.1}
    mix = Mix(raters=(RaterKind(name="restless", count=3, noise=0.3, **restless),))
    token = invite(judged.store, judged.project, "rater", 1e9 + 1e9, uses=3, days=3650)
    with served(judged) as url:
        tallies = worked(url, mix, [token], items)
    assert not [refusal for one in tallies for refusal in one.refused]
    assert all(one.undone and one.drafts and one.skipped for one in tallies), tallies

    log = [one.judgment for one in read(judged.store)]
    told = {id for one in tallies for id, _ in one.acknowledged}
    kept = {one.id for one in log if not isinstance(one.answer, Skipped | Withdrawn)}
    assert told == kept and verify(judged.store).faults == ()
    stands = list(standing(judged.store, judged.project))
    assert {one.question for one in stands} == {question["name"] for question in QUESTIONS}
    for one in stands:
        if one.question == "proof" and isinstance(one.answer, Stepped):
            assert one.answer.labels[0] == "right"
        if one.question == "overall" and isinstance(one.answer, Pairwise):
            assert set(one.criteria) == {"clear"}
    assert sum(member.role == "rater" for member in members(judged.store, judged.project)) >= 3


class Cut:
    """A line that breaks after every third request was carried out, before the answer is there."""

    def __init__(self, line):
        self.line, self.count = line, 0

    async def send(self, method, path, body):
        self.count += 1
        reply = await self.line.send(method, path, body)
        if self.count % 3 == 0:
            raise Unreachable("cut")
        return reply

    async def close(self):
        await self.line.close()


def test_what_is_sent_again_is_recorded_once(tmp_path):
    items = list(pairs(20))
    judged = judging(tmp_path, items, overlap={"votes": 1})

    async def run(url):
        kind = RaterKind(name="cut", noise=0.3, skip_rate=0.2, undo_rate=0.2)
        client = RaterClient(Cut(HttpLine(url, judged.token)), judged.project)
        seats = [Seat(kind=kind, number=0, client=client)]
        (tally,) = await work(seats, Terms(truths=truths_of_items(items)))
        await client.line.close()
        return tally, client

    with served(judged) as url:
        tally, client = asyncio.run(run(url))
    assert client.timed.resent > 5
    log = [one.judgment for one in read(judged.store)]
    kept = [one.id for one in log if not isinstance(one.answer, Skipped | Withdrawn)]
    assert sorted(kept) == sorted(id for id, _ in tally.acknowledged)
    assert len(list(standing(judged.store, judged.project))) == 20


def test_a_server_that_does_not_come_back_is_given_up():
    async def run():
        line = HttpLine("http://127.0.0.1:9")
        try:
            await RaterClient(line, "tea", patience_seconds=0.2).next()
        finally:
            await line.close()

    with pytest.raises(Unreachable, match="GET /api/projects/tea/next"):
        asyncio.run(run())


def test_a_token_that_is_not_good_is_refused(tmp_path):
    judged = judging(tmp_path, list(pairs(1)))
    mix = Mix(raters=(RaterKind(name="one"),))
    with served(judged) as url:
        with pytest.raises(Refused, match="401: the token is unknown"):
            worked(url, mix, ["plaudit_" + "x" * 43], [])
        with pytest.raises(ValueError, match="2 tokens for 1 raters"):
            worked(url, mix, ["a", "b"], [])


def test_the_command_lets_a_mix_judge(tmp_path, capsys):
    items = list(pairs(12))
    judged = judging(tmp_path, items, questions=[PAIRWISE], overlap={"votes": 2})
    mix = tmp_path / "mix.yaml"
    mix.write_text("raters: [{name: quick, count: 2, noise: 0.4}]")
    options = {"scorer": "", "most": None, "seconds": 60.0, "pace": 0.0}
    with served(judged) as url:
        simulate(
            url, mix, items=tmp_path / "items.jsonl", token=None,
            store=str(tmp_path / "judgments.db"), project="tea", **options,
        )  # fmt: skip
        with pytest.raises(ValueError, match="give either --token or --store"):
            simulate(
                url, mix, items=tmp_path / "items.jsonl", token=None, store="", project="",
                **options,
            )  # fmt: skip
    assert "24 judgments in" in capsys.readouterr().out
    kinds = {one.rater.kind for one in standing(judged.store, judged.project)}
    assert kinds == {"simulated"}
