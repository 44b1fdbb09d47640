"""The formats in which judgments come and go, and how each is known by its first row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from plaudit.formats.exchange import (
    arena,
    argilla,
    argilla_disk,
    comparisons,
    helpsteer3,
    label_studio,
    label_studio_min,
    label_studio_writing,
    mt_bench,
    oasst,
    oasst_writing,
    plaudit_lines,
    preferences,
    red_team,
    ultrafeedback,
    votes,
)
from plaudit.formats.exchange.entries import Entry, Reading, Written
from plaudit.formats.files import Row
from plaudit.formats.hh import PAIR
from plaudit.formats.trl import PREFERENCE


@dataclass(frozen=True, kw_only=True, slots=True)
class ExchangeFormat:
    """One format: what a row looks like, how it is known, read and written."""

    example: str
    fits: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Iterable[Row], Reading], Iterator[Entry]]
    write: Callable[[Iterable[Entry]], Iterator[Written]]
    keeps: str
    """What stands in a row beside the answer."""
    loses: str
    """What a judgment may say and a row cannot."""
    may_lose_ranks: tuple[str, ...] = ()
    """Kinds of answers that are refused where all of them are the order of the candidates."""


# The first that fits is meant, so a format stands before those whose keys are among its own.
EXCHANGE_FORMATS: dict[str, ExchangeFormat] = {
    "plaudit": ExchangeFormat(
        example=plaudit_lines.LINE,
        fits=plaudit_lines.fits,
        read=plaudit_lines.read,
        write=plaudit_lines.write,
        keeps="everything",
        loses="nothing",
    ),
    "label_studio": ExchangeFormat(
        example=label_studio.TASK,
        fits=label_studio.fits,
        read=label_studio.read,
        write=label_studio_writing.write,
        keeps="criteria, confidence, rationale, flags, time, seconds; a judge's as predictions",
        loses="order shown, reason of a skip, guideline, steps, red-team marks, rater ids that are "
        "no numbers",
        may_lose_ranks=("ranking",),
    ),
    "label_studio_min": ExchangeFormat(
        example=label_studio_min.ROW,
        fits=label_studio_min.fits,
        read=label_studio_min.read,
        write=label_studio_min.write,
        keeps="criteria, confidence, rationale, flags, time, seconds",
        loses="as label_studio; also skips and judges",
        may_lose_ranks=("ranking",),
    ),
    "argilla": ExchangeFormat(
        example=argilla.RECORD,
        fits=argilla.fits,
        read=argilla.read,
        write=argilla.write,
        keeps="rankings with ties, ratings in whole numbers, labels, rationale, flags, time; a "
        "judge's as suggestions with a score",
        loses="confidence of people, seconds, order shown, reason of a skip, guideline, red-team "
        "marks, marks that are no whole numbers",
        may_lose_ranks=("ranking", "pairwise"),
    ),
    "argilla_disk": ExchangeFormat(
        example=argilla_disk.RECORD,
        fits=argilla_disk.fits,
        read=argilla_disk.read,
        write=argilla_disk.write,
        keeps="ratings in whole numbers, labels, preferences in words, rationale, flags",
        loses="as argilla; also rankings, skips, judges, time, and whether a response was a draft",
        may_lose_ranks=("ranking", "pairwise"),
    ),
    "argilla_flat": ExchangeFormat(
        example=argilla_disk.FLAT_RECORD,
        fits=argilla_disk.fits_flat,
        read=argilla_disk.read_flat,
        write=argilla_disk.write_flat,
        keeps="ratings in whole numbers, labels, preferences in words, rationale, flags",
        loses="as argilla; also rankings, skips, judges and time",
        may_lose_ranks=("ranking", "pairwise"),
    ),
    "arena": ExchangeFormat(
        example=arena.BATTLE,
        fits=arena.fits,
        read=arena.read,
        write=arena.write,
        keeps="who won, ties, both bad, rater, models, time",
        loses="how much better, and all else; a prompt that is text becomes a message",
    ),
    "mt_bench": ExchangeFormat(
        example=mt_bench.PAIR,
        fits=mt_bench.fits,
        read=mt_bench.read,
        write=mt_bench.write,
        keeps="a judge's two judgments, one for each order, with their texts",
        loses="how much better, both bad, what was judged in one order only, and all else",
    ),
    "mt_bench_single": ExchangeFormat(
        example=mt_bench.SCORE,
        fits=mt_bench.fits_single,
        read=mt_bench.read_single,
        write=mt_bench.write_single,
        keeps="a judge's mark of one answer, with its text; that it failed",
        loses="all else",
    ),
    "summaries": ExchangeFormat(
        example=comparisons.SUMMARIES,
        fits=comparisons.fits_summaries,
        read=comparisons.read_summaries,
        write=comparisons.write_summaries,
        keeps="which of two is better, worker, policies, confidence in eighths",
        loses="ties, how much better, and all else",
    ),
    "webgpt": ExchangeFormat(
        example=comparisons.WEBGPT,
        fits=comparisons.fits_webgpt,
        read=comparisons.read_webgpt,
        write=comparisons.write_webgpt,
        keeps="which of two is better and how much, ties",
        loses="who judged and all else; both bad",
    ),
    "helpsteer2": ExchangeFormat(
        example=comparisons.HELPSTEER2,
        fits=comparisons.fits_helpsteer2,
        read=comparisons.read_helpsteer2,
        write=comparisons.write_helpsteer2,
        keeps="which of two is better and how much, ties, rationale",
        loses="who judged and all else; both bad",
    ),
    "helpsteer3": ExchangeFormat(
        example=helpsteer3.ROW,
        fits=helpsteer3.fits,
        read=helpsteer3.read,
        write=helpsteer3.write,
        keeps="of several people which of two is better and how much, ties, rationale",
        loses="who judged and all else; both bad",
    ),
    "alpaca_eval": ExchangeFormat(
        example=comparisons.ALPACA,
        fits=comparisons.fits_alpaca,
        read=comparisons.read_alpaca,
        write=comparisons.write_alpaca,
        keeps="which of two is better, ties, confidence, judge, models, failures",
        loses="how much better, both bad, and all else",
    ),
    "hh_red_team": ExchangeFormat(
        example=red_team.ROW,
        fits=red_team.fits,
        read=red_team.read,
        write=red_team.write,
        keeps="severity, rater, rationale, flags",
        loses="tactic and all else",
    ),
    "ultrafeedback": ExchangeFormat(
        example=ultrafeedback.ROW,
        fits=ultrafeedback.fits,
        read=ultrafeedback.read,
        write=ultrafeedback.write,
        keeps="marks by criterion, models",
        loses="who judged and all else; an overall mark that is not the mean of the others",
    ),
    "ultrafeedback_binarised": ExchangeFormat(
        example='{"prompt", "chosen": [...], "rejected": [...], "score_chosen", "score_rejected"}',
        fits=ultrafeedback.fits_binarised,
        read=ultrafeedback.read_binarised,
        write=ultrafeedback.write_binarised,
        keeps="two scores, and the better by them",
        loses="what has no scores; who judged and all else",
    ),
    "distilabel": ExchangeFormat(
        example='{"prompt", "chosen", "rejected", "chosen_rating", "rejected_rating"}',
        fits=ultrafeedback.fits_distilabel,
        read=ultrafeedback.read_distilabel,
        write=ultrafeedback.write_distilabel,
        keeps="two ratings, the better by them, models",
        loses="what has no ratings; who judged and all else",
    ),
    "oasst": ExchangeFormat(
        example='{"message_tree_id", "prompt": {..., "replies"}}, threads or messages',
        fits=oasst.fits,
        read=oasst.read,
        write=oasst_writing.write,
        keeps="merged ranks with ties; each person's ranking without; language",
        loses="ties of persons, how much better, and all else; what has no merged ranks",
    ),
    "ukp_convarg": ExchangeFormat(
        example=votes.VOTE,
        fits=votes.fits_ukp,
        read=votes.read_ukp,
        write=votes.write_ukp,
        keeps="which of two is better, ties, rater",
        loses="the prompt, how much better, both bad, and all else",
    ),
    "pandalm": ExchangeFormat(
        example=votes.PANDA,
        fits=votes.fits_pandalm,
        read=votes.read_pandalm,
        write=votes.write_pandalm,
        keeps="of several people which of two is better, ties",
        loses="who judged, how much better, both bad, and all else",
    ),
    "hh": ExchangeFormat(
        example=PAIR,
        fits=preferences.fits_hh,
        read=preferences.read_hh,
        write=preferences.write_hh,
        keeps="which of two is better",
        loses="who judged and all else; ties; text that is no messages",
    ),
    "openrlhf": ExchangeFormat(
        example='{"input", "output", "label"} or {"prompt", "chosen", "rejected", "margin"}',
        fits=preferences.fits_openrlhf,
        read=preferences.read_openrlhf,
        write=preferences.write_openrlhf,
        keeps="which of two is better; a mark of 0 or 1",
        loses="who judged and all else; ties and confidence",
    ),
    "trl": ExchangeFormat(
        example=PREFERENCE,
        fits=preferences.fits_trl,
        read=preferences.read_trl,
        write=preferences.write_trl,
        keeps="which of two is better, ties and confidence as probability; marks of 0 or 1; steps",
        loses="who judged and all else; how much better; both bad; neutral steps",
    ),
}


def detect_exchange(row: Row) -> str:
    """The name of the format a row has.

    Raises:
        ValueError: none is known with these keys; the message names them and every format.
    """
    for name, format in EXCHANGE_FORMATS.items():
        if format.fits(row.value):
            return name
    known = "; ".join(f"{name} {format.example}" for name, format in EXCHANGE_FORMATS.items())
    keys = ", ".join(map(str, row.value)) or "none"
    row.fail(f"no format of judgments has the keys {keys}", f"one of: {known}")
