"""report: a run as one self-contained HTML page, and its figures as JSON.

Reads the artifacts of a run's stages and its evaluation. Writes ``report.html``, which needs
nothing but a browser, and ``summary.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import Field, model_validator

from plaudit.artifacts import Artifact, Draft, read_artifact, write_json, write_text
from plaudit.config import Config, nearest
from plaudit.evaluation.charts import line_chart
from plaudit.evaluation.dialogue import ShownTurn, shown_answer, shown_message
from plaudit.evaluation.reader import reader_of
from plaudit.evaluation.worries import worries
from plaudit.formats import local_inputs
from plaudit.learning import read_metrics
from plaudit.provenance import peak_rss_mb
from plaudit.records import Message
from plaudit.statistics import Interval


class ReportConfig(Config):
    """Options of ``plaudit report``."""

    title: str = "A Plaudit run"
    """The page's headline."""
    evaluation: str
    """The artifact of the evaluate stage."""
    stages: dict[str, str]
    """The artifacts of the training stages by name, in the order of the story."""
    reward: str | None = None
    """Which of the stages is the reward model that was optimised."""
    judge: str | None = None
    """Which of the stages is the judge."""
    random_reward: str | None = None
    """Which of the stages is a reward model from random weights, shown beside the real one."""
    control: str = "shuffled_control"
    """The policy that was trained on shuffled labels."""
    examples: int = Field(default=6, ge=0)
    """Prompts shown with the answers before and after."""
    judgments: str | None = None
    """The log of judgments that ``plaudit collect`` made of this evaluation's answers."""

    @model_validator(mode="after")
    def _name_only_stages(self) -> ReportConfig:
        for option in ("reward", "judge", "random_reward"):
            name = getattr(self, option)
            if name is not None and name not in self.stages:
                raise ValueError(f"{option}: {name} is none of stages{nearest(name, self.stages)}")
        return self


CONFIG = ReportConfig


def inputs(config: ReportConfig) -> dict[str, Path]:
    return local_inputs(
        evaluation=config.evaluation,
        judgments=config.judgments,
        **{f"stages/{name}": path for name, path in config.stages.items()},
    )


def run(config: ReportConfig, output: Path) -> Artifact:
    stages = {name: _artifact(path) for name, path in config.stages.items()}
    evaluation = _artifact(config.evaluation)
    _check_stages(config, stages, evaluation)
    summary = _summary(config, stages, evaluation)
    summary["reader"] = reader_of(config.judgments, evaluation.path) if config.judgments else None
    draft = Draft.open(
        output, stage="report", config=config.model_dump(mode="json"), inputs=inputs(config)
    )
    write_json(draft.path / "summary.json", summary)
    page = (
        _environment()
        .get_template("report.html")
        .render(
            title=config.title,
            summary=summary,
            evaluation=evaluation.metrics,
            held_out=_held_out(stages, config),
            examples=_examples(evaluation, config),
            curves=_curves(stages),
            stages=stages,
            control=config.control,
            scorers={"judge": "the judge", "reward": "the reward model"},
            worries=worries(evaluation.metrics, _of(stages, config.judge), config.control),
        )
    )
    write_text(draft.path / "report.html", page)
    return draft.finish({})


def _artifact(path: str) -> Artifact:
    artifact = read_artifact(Path(path))
    if artifact is None:
        raise ValueError(f"{path}: not a finished artifact; run its stage first")
    return artifact


def _check_stages(
    config: ReportConfig, stages: Mapping[str, Artifact], evaluation: Artifact
) -> None:
    if (stage := evaluation.record["stage"]) != "evaluate":
        raise ValueError(f"evaluation: {config.evaluation} is of the {stage} stage, not evaluate")
    for option in ("reward", "judge", "random_reward"):
        name = getattr(config, option)
        if name and (stage := stages[name].record["stage"]) != "reward":
            raise ValueError(f"{option}: {name} is of the {stage} stage, not reward")


def _summary(
    config: ReportConfig, stages: Mapping[str, Artifact], evaluation: Artifact
) -> dict[str, Any]:
    """Every figure of the run, for machines."""
    held_out = _of(stages, config.reward) or {}
    by_floor = {
        kind: {who: value for who, value in held_out.get(kind, {}).items() if who != "model"}
        for kind in ("accuracy", "accuracy_per_pair", "auc")
    }
    rss = [a.record["peak_rss_mb"] for a in [*stages.values(), evaluation]]
    return {
        "win_rate": evaluation.metrics["win_rate"],
        "reward_model": {
            "accuracy": held_out.get("accuracy", {}).get("model"),
            "accuracy_per_pair": held_out.get("accuracy_per_pair", {}).get("model"),
            "auc": held_out.get("auc", {}).get("model"),
            "floors": by_floor,
            "from_random_weights": _of(stages, config.random_reward),
        },
        "judge": _of(stages, config.judge),
        "tool_calls": evaluation.metrics["tool_calls"],
        "behaviour": evaluation.metrics["behaviour"],
        "seconds": {name: a.seconds for name, a in stages.items()}
        | {"evaluate": evaluation.seconds},
        "peak_rss_mb": max([*rss, peak_rss_mb()]),
    }


def _of(stages: Mapping[str, Artifact], name: str | None) -> dict[str, Any] | None:
    """The held-out figures of a reward model among the stages."""
    return stages[name].metrics.get("held_out") if name else None


def _held_out(stages: Mapping[str, Artifact], config: ReportConfig) -> list[dict[str, Any]]:
    """Rows of the reward models' chart: theirs and the floors', for each kind of judgment."""
    kinds = {
        "accuracy": "pairs of answers to one context: the better one scores higher",
        "auc": "single ratings: a good answer scores above a bad one (AUC)",
    }
    main, other = _of(stages, config.reward), _of(stages, config.random_reward)
    charts = []
    for kind, meaning in kinds.items():
        if main is None or kind not in main:
            continue
        floors = {name: value for name, value in main[kind].items() if name != "model"}
        rows = {"reward model": main[kind]["model"]}
        if other is not None:
            rows["the same from random weights"] = other[kind]["model"]
        names = {"bigrams": "bag of bigrams", "longer_wins": "longer wins", "majority": "majority"}
        rows |= {names[name]: value for name, value in floors.items()}
        charts.append({"meaning": meaning, "rows": rows})
    return charts


def _curves(stages: Mapping[str, Artifact]) -> list[Markup]:
    """Charts of what a person watches, stages of one kind together."""
    wanted = {
        "sft": {"loss": "loss, nats a token (sft)"},
        "reward": {"accuracy": "accuracy on training pairs (reward models)"},
        "preference": {"accuracy": "accuracy of implicit rewards (preference)"},
        "rl": {
            "reward": "reward of sampled answers",
            "kl": "KL to the baseline, nats an answer",
            "entropy": "entropy, nats a token",
            "response_tokens": "length, tokens an answer",
        },
    }
    charts = []
    for stage, metrics in wanted.items():
        rows = {
            name: read_metrics(artifact.path)
            for name, artifact in stages.items()
            if artifact.record["stage"] == stage
        }
        for metric, label in metrics.items():
            series = {name: _series(lines, metric) for name, lines in rows.items()}
            series = {name: points for name, points in series.items() if len(points) > 1}
            if series:
                # The SVG is made by our own code from numbers and the recipe's names.
                charts.append(Markup(line_chart(series, label=label, smooth_steps=8)))
    return charts


def _series(lines: list[dict[str, float]], metric: str) -> list[tuple[float, float]]:
    return [(line["step"], line[metric]) for line in lines if line.get(metric) is not None]


def _examples(evaluation: Artifact, config: ReportConfig) -> list[dict[str, Any]]:
    """Prompts spread over the held-out set, not chosen by their scores."""
    file = evaluation.path / "answers.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    count = min(config.examples, len(rows))
    return [_example(rows[i * len(rows) // count]) for i in range(count)]


def _example(row: dict[str, Any]) -> dict[str, Any]:
    """The conversation, and every policy's first answer beside the baseline's."""
    before = row["answers"]["baseline"][0]
    answers = [
        {
            "who": name,
            "turn": shown_answer(answer["text"]),
            "before": _before_the_last(answer.get("turns", [])),
            "judge": answer["judge"],
            "verdict": _verdict(answer, before),
        }
        for name, (answer, *_) in row["answers"].items()
    ]
    return {"turns": [_shown(message) for message in row["messages"]], "answers": answers}


def _before_the_last(turns: list[dict[str, Any]]) -> list[ShownTurn]:
    """What came before the policy's last turn, which ``text`` holds as it was written."""
    last = max((i for i, turn in enumerate(turns) if turn["role"] == "assistant"), default=0)
    return [_shown(turn) for turn in turns[:last]]


def _shown(message: dict[str, Any]) -> ShownTurn:
    return shown_message(Message.model_validate(message, strict=False))


def _verdict(answer: dict[str, Any], before: dict[str, Any]) -> str:
    if all(answer.get(part) == before.get(part) for part in ("text", "turns")):
        return "same"
    return "better" if answer["judge"] > before["judge"] else "worse"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("plaudit.evaluation", ""), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["percent"] = lambda value: f"{value * 100:.1f} %"
    environment.filters["interval"] = _interval
    return environment


def _interval(values: Any) -> str:
    low, point, high = Interval(*values)
    return f"{point * 100:.1f} % ({low * 100:.1f} to {high * 100:.1f})"
