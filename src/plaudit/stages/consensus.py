"""consensus: data to learn from, made of a log of judgments.

Reads what stands in one project: comparisons, rankings and marks make ``judged.jsonl.gz``, steps
``steps.jsonl.gz``, demonstrations ``demonstrations.jsonl.gz``. ``lineage.json`` says which log, up
to which judgment, whose judgments and under which guidelines.
"""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import model_validator

from plaudit.aggregation import Method, Target, Weighting, counted, targets
from plaudit.aggregation.logs import Standing, log_file, read_standing, settle_file
from plaudit.aggregation.ratings import Scale
from plaudit.aggregation.scales import scale_of_marks
from plaudit.artifacts import Artifact, write_json
from plaudit.config import Config
from plaudit.judgments import Skipped
from plaudit.records import Demonstration, Judged, SteppedResponse, Text
from plaudit.stages.setup import open_draft
from plaudit.text import as_openai

FILES: dict[type[Target], str] = {
    Judged: "judged.jsonl.gz",
    SteppedResponse: "steps.jsonl.gz",
    Demonstration: "demonstrations.jsonl.gz",
}


class ConsensusConfig(Config):
    """Options of ``plaudit consensus``."""

    judgments: str
    """A log of judgments (a .db file), or the artifact of import_judgments."""
    project: str = ""
    """Which project of the log; may be left out where there is only one."""
    question: str = ""
    """Which of its questions; all where empty."""
    method: Method = "auto"
    """dawid_skene (raters' habits as the pairs were shown), one_coin (an accuracy a rater),
    rater_model (their sharpness and pulls to the left and to the longer), glad (ability, and how
    easy a pair is), mace (they know or spam), weighted (the share of the vote by one_coin's
    accuracies), majority, share (of the vote); auto goes by how many votes there are."""
    weighting: Weighting = "even"
    """How much a pair counts: even; information, what its votes could tell; certainty."""
    margins: bool = False
    """Give preferences the mean strength of their votes as a margin."""
    scale: Scale | None = None
    """The lowest and the highest mark that raters could give; null for those of the project's own
    questions, and 0 to 1 where it has none."""
    standardise: bool = False
    """Bring each rater's marks to the mean and spread of all before they are averaged."""

    @model_validator(mode="after")
    def _scale_rises(self) -> ConsensusConfig:
        if self.scale is not None and self.scale[0] >= self.scale[1]:
            raise ValueError(f"scale: expected lowest < highest, found {list(self.scale)}")
        return self


CONFIG = ConsensusConfig


def inputs(config: ConsensusConfig) -> dict[str, Path]:
    file = log_file(config.judgments)
    settle_file(file)
    return {"judgments": Path(config.judgments)}


def run(config: ConsensusConfig, output: Path) -> Artifact:
    began = time.monotonic()
    log = read_standing(config.judgments, project=config.project, question=config.question)
    found = targets(
        log.items,
        log.judgments,
        config.method,
        weighting=config.weighting,
        margins=config.margins,
        scale=config.scale or scale_of_marks(log.config, config.question) or (0.0, 1.0),
        standardise=config.standardise,
    )
    if not found:
        raise ValueError(
            f"{config.judgments}: nothing to learn from in project {log.project}: none of its "
            f"{len(log.judgments)} judgments is an answer"
        )
    draft = open_draft("consensus", config, inputs(config), output, began)
    for kind, name in FILES.items():
        if chosen := [target for target in found if isinstance(target, kind)]:
            _write(draft.path / name, map(row_of, chosen))
    write_json(draft.path / "lineage.json", lineage(log))
    return draft.finish(_summary(log, found))


def row_of(target: Target) -> dict[str, Any]:
    """As the data formats read it back, under the same id and with the same columns."""
    prompt = target.prompt
    asked = {**prompt.columns, "prompt": _written(prompt.content)}
    if isinstance(target, Demonstration):
        return {**asked, "completion": _written(target.response.content)}
    if isinstance(target, SteppedResponse):
        return {
            **asked,
            "completions": list(target.steps),
            "probabilities": list(target.probabilities),
        }
    return {
        **asked,
        "id": prompt.id,
        "responses": [_written(response.content) for response in target.responses],
        "preferences": [preference.model_dump() for preference in target.preferences],
        "ratings": [rating.model_dump() for rating in target.ratings],
    }


def lineage(log: Standing) -> dict[str, Any]:
    """What the data is made of: enough to find it again, and whom to ask."""
    votes = counted(log.judgments)
    return {
        "project": log.project,
        "last_seq": log.last_seq,
        "head_sha256": log.head_sha256,
        "judgments": len(votes),
        "raters": dict(sorted(Counter(vote.rater.id for vote in votes).items())),
        "guidelines": dict(sorted(Counter(vote.guideline_version for vote in votes).items())),
    }


def _summary(log: Standing, found: Sequence[Target]) -> dict[str, Any]:
    votes = counted(log.judgments)
    skips = sum(isinstance(judgment.answer, Skipped) for judgment in log.judgments)
    preferences = [p for t in found if isinstance(t, Judged) for p in t.preferences]
    return {
        "items": len(log.items),
        "judgments": len(votes),
        "left_out": {"skips": skips, "repeats": len(log.judgments) - skips - len(votes)},
        "raters": len({vote.rater.id for vote in votes}),
        "records": len(found),
        "pairs": len(preferences),
        "ties": sum(p.probability == 0.5 for p in preferences),
        "mean_probability": (
            sum(p.probability for p in preferences) / len(preferences) if preferences else None
        ),
    }


def _write(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Equal rows make equal bytes."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    file.write_bytes(gzip.compress(text.encode(), mtime=0))


def _written(content: Text) -> str | list[dict[str, Any]]:
    return content if isinstance(content, str) else [as_openai(message) for message in content]
