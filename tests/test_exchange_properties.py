"""What a format can say comes back from it as it was, whatever it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaudit.formats.exchange import EXCHANGE_FORMATS, UNKNOWN_TIME, Entry, write_exchange
from plaudit.judgments import (
    Answer,
    Candidate,
    Item,
    Judgment,
    Labelled,
    Pairwise,
    Ranked,
    Rated,
    Rater,
    RedTeamed,
    Skipped,
    Stepped,
    Written,
    fingerprint,
)
from plaudit.records import Message, Text

QUICK = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
TEXTS = PLAIN.filter(str.strip)
STRENGTHS = st.integers(-3, 3)
PAIRS = st.builds(lambda s: Pairwise(strength=s), STRENGTHS)
BAD = st.just(Pairwise(strength=0, both_bad=True))
HARD = st.sampled_from([Pairwise(strength=-2), Pairwise(strength=2)])
TIED = HARD | st.just(Pairwise(strength=0))
RANKED = st.permutations([1, 2, 3]).map(lambda r: Ranked(ranks=tuple(r))) | st.sampled_from(
    [Ranked(ranks=(1, 1, 2)), Ranked(ranks=(2, 1, 1)), Ranked(ranks=(1, 1, 1))]
)
MARKS = st.tuples(*[st.integers(1, 5).map(float)] * 3)
RATED = st.builds(lambda values: Rated(values=values), MARKS)
TIMES = st.integers(1, 2_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
PEOPLE = st.integers(1, 10**9).map(lambda number: Rater(id=str(number)))


def messages(*texts: str) -> tuple[Message, ...]:
    return tuple(
        Message(role="assistant" if i % 2 else "user", content=text) for i, text in enumerate(texts)
    )


@st.composite
def entries(
    draw: st.DrawFn,
    answers: st.SearchStrategy[Answer],
    *,
    raters: st.SearchStrategy[Rater] = PEOPLE,
    chat: bool = False,
    sources: bool = False,
    hashed: bool = False,
    steps: bool = False,
    **fields: st.SearchStrategy[Any],
) -> Entry:
    """An item and one judgment that says no more than it is asked for."""
    answer = draw(answers)
    count = {"ranking": 3, "rating": 3, "red_team": 1, "steps": 0}.get(answer.kind, 2)
    if isinstance(answer, Rated | Ranked):
        count = len(answer.values if isinstance(answer, Rated) else answer.ranks)
    contents = draw(st.lists(TEXTS, min_size=count, max_size=count, unique=True))
    prompt: Text = messages(draw(TEXTS)) if chat else draw(TEXTS)
    item = Item(
        id="17",
        question={"steps": "steps", "red_team": "red_team"}.get(answer.kind, "overall"),
        prompt=prompt,
        candidates=tuple(
            Candidate(
                content=messages("", text)[1:] if chat else text,
                source=f"m{i}" if sources else "",
            )
            for i, text in enumerate(contents)
        ),
        steps=tuple(draw(st.lists(TEXTS, min_size=len(answer.labels), max_size=len(answer.labels))))
        if isinstance(answer, Stepped)
        else (),
    )
    if hashed:
        item = item.model_copy(update={"id": "?"})
        item = item.model_copy(update={"id": fingerprint(item)[:16]})
    values = {name: draw(strategy) for name, strategy in fields.items()}
    judgment = Judgment(
        id="j", project="p", item=item.id, item_sha256=fingerprint(item), question=item.question,
        rater=draw(raters), answer=answer, **{"submitted_at": UNKNOWN_TIME, **values},
    )  # fmt: skip
    return Entry(item=item, judgments=(judgment,))


def named(id: str, kind: str = "human") -> st.SearchStrategy[Rater]:
    return st.just(Rater.model_validate({"id": id, "kind": kind}))


JUDGES = st.sampled_from([Rater(id="gpt", kind="judge", version="v2")])
CRITERIA = st.fixed_dictionaries({}, optional={"helpful": MARKS.map(lambda v: v[:2])})
BESIDE: dict[str, Any] = {
    "rationale": TEXTS | st.just(""),
    "flags": st.lists(TEXTS, max_size=2, unique=True).map(tuple),
    "submitted_at": TIMES,
}
CONFIDENCE = st.floats(0.51, 1.0, allow_nan=False)
BINARY = st.sampled_from([Rated(values=(0.0,)), Rated(values=(1.0,))])
STEPS = st.lists(st.sampled_from(["right", "wrong"]), min_size=1, max_size=3).map(
    lambda labels: Stepped.model_validate({"labels": tuple(labels)})
)
SKIPS = {name: st.just(Skipped(reason=name)) for name in ("cancelled", "discarded", "error")}

SAYABLE: dict[str, st.SearchStrategy[Entry]] = {
    "plaudit": entries(
        PAIRS | BAD | RANKED | RATED | STEPS | st.builds(Labelled, label=TEXTS)
        | st.builds(Written, text=TEXTS) | SKIPS["error"],
        sources=True, confidence=st.none() | st.floats(0, 1), **BESIDE,
    ),
    "label_studio": entries(
        PAIRS | BAD, confidence=st.none() | st.floats(0, 1), criteria=CRITERIA, sources=True,
        active_seconds=st.none() | st.floats(0, 100), **BESIDE,
    )
    | entries(RANKED | RATED | SKIPS["cancelled"] | st.builds(Written, text=TEXTS))
    | entries(st.builds(Labelled, label=TEXTS.map("label {}".format)))
    | entries(PAIRS, raters=JUDGES, confidence=CONFIDENCE),
    "label_studio_min": entries(PAIRS | BAD, criteria=CRITERIA, sources=True, **BESIDE)
    | entries(RANKED | RATED),
    "argilla": entries(
        PAIRS | BAD, raters=TEXTS.map(lambda id: Rater(id=id)), criteria=CRITERIA, sources=True,
        **BESIDE,
    )
    | entries(RANKED | RATED | SKIPS["discarded"])
    | entries(TIED, raters=JUDGES, confidence=CONFIDENCE),
    "argilla_disk": entries(PAIRS | BAD | RATED),
    "argilla_flat": entries(PAIRS | BAD | RATED),
    "hh": entries(HARD, raters=named("hh"), chat=True, hashed=True),
    "hh_red_team": entries(
        st.integers(0, 4).map(lambda n: RedTeamed(severities=(n,))), chat=True, hashed=True,
        rationale=BESIDE["rationale"], flags=BESIDE["flags"], sources=True,
    ),
    "trl": entries(HARD, raters=named("trl"), confidence=CONFIDENCE)
    | entries(TIED | BINARY | STEPS, raters=named("trl")),
    "openrlhf": entries(HARD | BINARY, raters=named("openrlhf")),
    "arena": entries(
        TIED | BAD, raters=PEOPLE | JUDGES, chat=True, sources=True, submitted_at=TIMES
    ),
    "summaries": entries(
        HARD, sources=True, hashed=True, confidence=st.integers(0, 8).map(lambda n: n / 8)
    ),
    "webgpt": entries(PAIRS, raters=named("webgpt"), hashed=True),
    "helpsteer2": entries(
        PAIRS, raters=named("helpsteer2"), hashed=True, rationale=BESIDE["rationale"]
    ),
    "helpsteer3": entries(PAIRS, raters=named("helpsteer3-1"), hashed=True, chat=True),
    "alpaca_eval": entries(
        TIED | SKIPS["error"], raters=named("gpt", "judge"), hashed=True, sources=True
    ),
    "mt_bench_single": entries(
        st.integers(1, 10).map(lambda n: Rated(values=(float(n),))) | SKIPS["error"],
        raters=JUDGES, chat=True, hashed=True, sources=True, submitted_at=TIMES,
    ).filter(lambda entry: len(entry.item.candidates) == 1),
    "ultrafeedback": entries(
        RATED, raters=named("gpt-4", "judge"), sources=True, hashed=True
    ).map(lambda entry: _marked(entry)),
    "ultrafeedback_binarised": entries(
        TIED, raters=named("ultrafeedback_binarised", "judge"), chat=True
    ).map(lambda entry: _scored(entry)),
    "distilabel": entries(
        TIED, raters=named("distilabel", "judge"), sources=True, hashed=True
    ).map(lambda entry: _scored(entry)),
    "oasst": entries(RANKED | TIED, raters=named("oasst"), chat=True, sources=True),
    "ukp_convarg": entries(TIED),
    "pandalm": entries(TIED, raters=named("annotator1")),
}  # fmt: skip
# Of these the id of the item, or of the prompt, is not in a row but in what stands around it.
NOT_HELD = {
    "ukp_convarg": {"item's id", "item's prompt"},
    "trl": {"item's id"},
    "openrlhf": {"item's id"},
    "hh": {"item's id"},
    "distilabel": {"item's id"},
}


def _with(entry: Entry, **values: Any) -> Entry:
    (judgment,) = entry.judgments
    return Entry(item=entry.item, judgments=(judgment.model_copy(update=values),))


def _scored(entry: Entry) -> Entry:
    answer = entry.judgments[0].answer
    assert isinstance(answer, Pairwise)
    return _with(entry, criteria={"score": (5.0 - answer.strength, 5.0 + answer.strength)})


def _marked(entry: Entry) -> Entry:
    answer = entry.judgments[0].answer
    assert isinstance(answer, Rated)
    return _with(entry, criteria={"honesty": answer.values})


def test_every_format_has_something_it_can_say() -> None:
    assert set(SAYABLE) == set(EXCHANGE_FORMATS) - {"mt_bench"}


@pytest.mark.parametrize("name", SAYABLE)
def test_what_a_format_can_say_comes_back(name: str) -> None:
    @QUICK
    @given(SAYABLE[name])
    def comes_back(entry: Entry) -> None:
        rows = write_exchange([entry], name)
        assert rows.judgments == 1
        assert set(rows.losses) <= NOT_HELD.get(name, set()), (rows.losses, rows.values)

    comes_back()


@QUICK
@given(entries(TIED, chat=True), entries(TIED, chat=True))
def test_both_orders_of_a_judge_come_back(first: Entry, second: Entry) -> None:
    """MT-bench's row holds two judgments of one pair."""
    judge = Rater(id="gpt-4", kind="judge", version="pair-v2")
    item = first.item.model_copy(update={"id": "?"})
    item = item.model_copy(update={"id": fingerprint(item)[:16]})
    judgments = tuple(
        entry.judgments[0].model_copy(
            update={"id": id, "item": item.id, "rater": judge, "shown": shown}
        )
        for id, entry, shown in (("g1", first, (0, 1)), ("g2", second, (1, 0)))
    )
    rows = write_exchange([Entry(item=item, judgments=judgments)], "mt_bench")
    assert (rows.judgments, rows.losses) == (2, {})


@QUICK
@given(
    entries(PAIRS | BAD | RANKED | RATED | STEPS | SKIPS["error"], sources=True, **BESIDE),
    st.sampled_from(sorted(EXCHANGE_FORMATS)),
)
def test_what_a_format_cannot_say_is_counted(entry: Entry, name: str) -> None:
    rows = write_exchange([entry], name)
    unsaid = sum(number for key, number in rows.losses.items() if key.startswith("judgment ("))
    assert rows.judgments + unsaid == 1
