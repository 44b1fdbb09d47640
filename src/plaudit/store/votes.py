"""What one judgment says for the tallies, and what the votes on one item add up to.

``contribution`` is the whole of the arithmetic: tallies are its sum over items, so a new judgment
adds the difference of two contributions, and a rebuild adds them all up again.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from plaudit.judgments import (
    ADJUDICATED,
    Item,
    Judgment,
    Labelled,
    Pairwise,
    Ranked,
    Rated,
    RedTeamed,
    Skipped,
    Stepped,
    Withdrawn,
)

BINS_PER_OCTAVE = 4
_SHORTEST_SECONDS = 0.125
_SECONDS_A_DAY = 86_400
_SETTLES = "adjudicators"


@dataclass(frozen=True, slots=True)
class Vote:
    """What the tallies keep of a judgment that stands."""

    rater: str
    question: str
    kind: str
    """Of answer."""
    stratum: str
    panel: str
    """people (and simulated ones), machines (judges and rules), or adjudicators."""
    day: int
    """Since 1970, UTC."""
    is_repeat: bool
    measures: dict[str, int]
    """What it adds to its rater's tally, whatever others say."""
    labels: dict[str, str]
    """By unit: the answer, or a candidate or step of it, or of one criterion: ``helpful/1``."""

    @property
    def is_counted(self) -> bool:
        """``is_counted`` of its judgment."""
        return "judgments" in self.measures and not self.is_repeat and self.panel != _SETTLES


class RaterCell(NamedTuple):
    question: str
    rater: str
    measure: str


class PatternCell(NamedTuple):
    question: str
    criterion: str
    panel: str
    stratum: str
    day: int
    pattern: str


Cell = RaterCell | PatternCell


def is_counted(judgment: Judgment) -> bool:
    """Whether a judgment that stands is one of the votes that its item wants: skips, repeats and
    what settles an item are not."""
    is_said = not isinstance(judgment.answer, Skipped | Withdrawn)
    return is_said and not judgment.is_repeat and ADJUDICATED not in judgment.flags


def vote_of(judgment: Judgment, item: Item | None) -> Vote:
    """The vote of a judgment about an item, None where the item is not in the store."""
    return Vote(
        rater=judgment.rater.id,
        question=_without_nul(judgment.question),
        kind=judgment.answer.kind,
        stratum=item.stratum if item else "",
        panel=_panel(judgment),
        day=int(judgment.submitted_at.timestamp() // _SECONDS_A_DAY),
        is_repeat=judgment.is_repeat,
        measures=dict(_measures(judgment, item)),
        labels=dict(_labels(judgment)),
    )


def _panel(judgment: Judgment) -> str:
    """Who settles an item has seen the others' votes, and is compared with none of them."""
    if ADJUDICATED in judgment.flags:
        return _SETTLES
    return "machines" if judgment.rater.kind in ("judge", "rule") else "people"


def written(vote: Vote) -> str:
    values = [getattr(vote, name) for name in Vote.__slots__]
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)


def read_vote(facts: str) -> Vote:
    return Vote(*json.loads(facts))


def contribution(votes: Sequence[Vote], suspended: Collection[str]) -> Counter[Cell]:
    """What the votes on one item add to the tallies; nobody is compared with who is suspended."""
    cells: Counter[Cell] = Counter()
    for vote in votes:
        for measure, many in vote.measures.items():
            cells[RaterCell(vote.question, vote.rater, measure)] += many
    firsts = [vote for vote in votes if not vote.is_repeat]
    _count_peers(cells, firsts, suspended)
    _count_repeats(cells, votes, firsts)
    for cell in _patterns([vote for vote in firsts if vote.rater not in suspended]):
        cells[cell] += 1
    return cells


def differing(votes: Sequence[Vote], suspended: Collection[str]) -> float:
    """Share of pairs of raters' answers that differ, 0 to 1; 0 where nobody can be compared."""
    counted = [vote for vote in votes if not vote.is_repeat and vote.rater not in suspended]
    beside = _against_peers(counted, ())
    compared, agreed = (sum(each) for each in zip(*beside, strict=True)) if beside else (0, 0)
    return (compared - agreed) / compared if compared else 0.0


def nominal(kind: str, label: str) -> str:
    """The label without its strength: in a comparison -1, 0 or 1; two bad ones are a tie."""
    if kind != "pairwise":
        return label
    return "0" if label == "bad" else str((int(label) > 0) - (int(label) < 0))


def is_right(answer: Any, gold: Any) -> bool:
    """Whether an answer says all that the gold one does; of a comparison, without its strength, and
    of steps, up to the first wrong one: raters may be told to stop there."""
    if answer.kind != gold.kind:
        return False
    said, expected = list(_answer_labels(answer)), list(_answer_labels(gold))
    if len(said) != len(expected):
        return False
    end = expected.index("wrong") + 1 if gold.kind == "steps" and "wrong" in expected else None
    return all(
        label is not None and nominal(answer.kind, label) == nominal(gold.kind, right)
        for label, right in zip(said[:end], expected[:end], strict=True)
        if right is not None
    )


def _count_peers(cells: Counter[Cell], votes: Sequence[Vote], suspended: Collection[str]) -> None:
    for vote, (compared, agreed) in zip(votes, _against_peers(votes, suspended), strict=True):
        if compared:
            cells[RaterCell(vote.question, vote.rater, "compared")] += compared
            cells[RaterCell(vote.question, vote.rater, "agreed")] += agreed


def _against_peers(votes: Sequence[Vote], suspended: Collection[str]) -> list[tuple[int, int]]:
    """Of each vote, how many labels of other raters it stands beside, and how many are alike.

    By counting labels, not pairs: an item may have a hundred votes.
    """
    answers = [list(_comparable(vote)) for vote in votes]
    everyone: Counter[tuple[Hashable, ...]] = Counter()
    for vote, answer in zip(votes, answers, strict=True):
        if vote.rater not in suspended:
            for unit, label in answer:
                everyone.update(
                    [(unit,), (unit, label), (unit, vote.rater, None), (unit, vote.rater, label)]
                )
    return [
        (
            sum(everyone[unit,] - everyone[unit, vote.rater, None] for unit, _ in answer),
            sum(everyone[unit, said] - everyone[unit, vote.rater, said] for unit, said in answer),
        )
        for vote, answer in zip(votes, answers, strict=True)
    ]


def _comparable(vote: Vote) -> Iterator[tuple[Hashable, str]]:
    """What its answer says of each unit, criteria aside, under a name equal questions share."""
    for unit, label in vote.labels.items():
        if unit[0] == "/":
            yield (vote.question, vote.kind, vote.panel, unit), nominal(vote.kind, label)


def _count_repeats(cells: Counter[Cell], votes: Sequence[Vote], firsts: Sequence[Vote]) -> None:
    first_of = {(vote.rater, vote.question, vote.kind): vote for vote in reversed(firsts)}
    for vote in votes:
        first = first_of.get((vote.rater, vote.question, vote.kind))
        if vote.is_repeat and first is not None and vote.labels:
            is_alike = [*_comparable(vote)] == [*_comparable(first)]
            cells[RaterCell(vote.question, vote.rater, "repeated")] += 1
            cells[RaterCell(vote.question, vote.rater, "repeated_alike")] += is_alike


def _patterns(votes: Sequence[Vote]) -> Iterator[PatternCell]:
    """One cell for each unit that anyone labelled."""
    labels: dict[tuple[str, str, str], Counter[str]] = {}
    days: dict[tuple[str, str, str], int] = {}
    for vote in votes:
        for unit, label in vote.labels.items():
            key = (vote.question, vote.panel, unit)
            labels.setdefault(key, Counter())[label] += 1
            days[key] = max(days.get(key, vote.day), vote.day)
    for key, counts in labels.items():
        question, panel, unit = key
        pattern = json.dumps(counts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        criterion = unit.rpartition("/")[0]
        yield PatternCell(question, criterion, panel, votes[0].stratum, days[key], pattern)


def _labels(judgment: Judgment) -> Iterator[tuple[str, str]]:
    for place, label in enumerate(_answer_labels(judgment.answer)):
        if label is not None:
            yield f"/{place}", label
    for criterion, marks in judgment.criteria.items():
        for place, mark in enumerate(marks):
            if mark is not None:
                yield f"{_without_nul(criterion)}/{place}", f"{mark:g}"


def _without_nul(name: str) -> str:
    """PostgreSQL has none in its texts."""
    return name.replace("\0", "\ufffd")


def _answer_labels(answer: Any) -> Sequence[str | None]:
    """Of each unit of the answer; a written answer has none."""
    match answer:
        case Pairwise():
            return ["bad" if answer.both_bad else str(answer.strength)]
        case Labelled():
            return [answer.label]
        case Ranked():
            order = sorted(set(answer.ranks))  # 1, 1, 3 is the order that 1, 1, 2 is
            return [str(order.index(rank) + 1) for rank in answer.ranks]
        case Rated():
            return [None if value is None else f"{value:g}" for value in answer.values]
        case Stepped():
            return answer.labels
        case RedTeamed():
            return [None if value is None else str(value) for value in answer.severities]
    return []


def _measures(judgment: Judgment, item: Item | None) -> Iterator[tuple[str, int]]:
    answer = judgment.answer
    yield ("skips" if isinstance(answer, Skipped) else "judgments"), 1
    if judgment.active_seconds is not None:
        yield "timed", 1
        yield "milliseconds", round(judgment.active_seconds * 1000)
        yield f"bin_{seconds_bin(judgment.active_seconds)}", 1
    if item is not None and item.gold is not None and not isinstance(answer, Skipped):
        yield "gold_asked", 1
        yield "gold_right", int(is_right(answer, item.gold))
    if isinstance(answer, Pairwise):
        yield from _pairwise_measures(judgment, answer, item)


def _pairwise_measures(
    judgment: Judgment, answer: Pairwise, item: Item | None
) -> Iterator[tuple[str, int]]:
    if answer.strength == 0:
        yield ("both_bad" if answer.both_bad else "tie"), 1
        return
    better = int(answer.strength > 0)
    if judgment.shown:
        yield ("left" if judgment.shown[0] == better else "right"), 1
    if item is not None and len(item.candidates) == 2:
        lengths = [_length(candidate.content) for candidate in item.candidates]
        if lengths[0] != lengths[1]:
            yield ("longer" if lengths[better] == max(lengths) else "shorter"), 1


def _length(content: Any) -> int:
    """In characters."""
    if isinstance(content, str):
        return len(content)
    return sum(len(message.content) for message in content)


def seconds_bin(seconds: float) -> int:
    """Bin k holds times of 2^(k/4) up to 2^((k+1)/4) seconds."""
    return math.floor(BINS_PER_OCTAVE * math.log2(max(seconds, _SHORTEST_SECONDS)))
