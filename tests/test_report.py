"""The report: its page in a real browser, its figures for machines, its worries."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from plaudit.artifacts import Draft
from plaudit.evaluation.charts import line_chart
from plaudit.evaluation.dialogue import LONGEST_RESULT, shown_answer, shown_message
from plaudit.evaluation.to_judge import items_of_evaluation
from plaudit.evaluation.worries import worries
from plaudit.judgments import Answer, Item, Pairwise
from plaudit.records import Message, ToolCall
from plaudit.store import add_items, append, open_store, put_project
from tests.command import plaudit
from tests.judging import judgment

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
CALL = '<|call|>add_order_item {"menu_item_id":"latte-1","quantity":2}'
BEHAVIOUR = {
    "judge_score": 0.5, "reward_score": 0.4, "response_tokens": 20.0, "response_characters": 60.0,
    "stopped": 1.0, "repetition": 0.02, "entropy_per_token": 1.0, "kl_per_response": 0.5,
}  # fmt: skip


def rates(rate: list[float]) -> dict[str, Any]:
    return {"raw": rate, "length_controlled": rate, "ties": 0.1}


NAMES = ("baseline", "grpo", "shuffled_control")
VALID = {check: [0.8, 0.9, 0.95] for check in ("parses", "fits_schema", "grounded", "valid")}
FOUND: dict[str, Any] = {
    "win_rate": {
        "grpo": rates([0.55, 0.6, 0.65]),
        "shuffled_control": rates([0.45, 0.5, 0.55]),
    },
    "behaviour": {name: {**BEHAVIOUR} for name in NAMES},
    "tool_calls": {
        name: VALID | {"calls": 0.4, "difference": [-0.05, 0.01, 0.06]} for name in NAMES
    },
}
FLOORS = {name: [0.4, 0.5, 0.6] for name in ("longer_wins", "bigrams", "majority")}
HELD_OUT = {
    kind: {"model": [0.66, 0.7, 0.74], **FLOORS}
    for kind in ("accuracy", "accuracy_per_pair", "auc")
}


def finished(output: Path, stage: str, metrics: dict, files: dict[str, list[dict]]) -> Path:
    draft = Draft.open(output, stage=stage, config={}, inputs={})
    for name, rows in files.items():
        (draft.path / name).write_text("\n".join(map(json.dumps, rows)))
    draft.finish(metrics)
    return output


def a_run(
    place: Path,
    answers: list[str],
    turns: list[dict[str, Any]] | None = None,
    *,
    endings: tuple[str, ...] = ("",) * 3,
    judged: Callable[[Item], Answer] | None = None,
) -> tuple[Path, dict[str, Any]]:
    """The page and the figures of a made-up run whose policy and customers say ``answers``.

    Args:
        endings: what sets apart the answers of each of ``NAMES``.
        judged: what a person says of each pair of answers.
    """
    rows = [
        {
            "prompt": str(i),
            "messages": [{"role": "user", "content": answer} for _ in range(6)],
            "answers": {
                name: [
                    {
                        "text": answer + endings[score],
                        "judge": float(score),
                        **({"turns": turns} if turns else {}),
                    }
                ]
                for score, name in enumerate(NAMES)
            },
        }
        for i, answer in enumerate(answers)
    ]
    steps = [{"step": i, "reward": 0.1 * i, "kl": 0.01 * i} for i in range(1, 20)]
    stages = {
        "reward": finished(place / "reward", "reward", {"held_out": HELD_OUT}, {}),
        "grpo": finished(place / "grpo", "rl", {}, {"metrics.jsonl": steps}),
    }
    evaluation = finished(
        place / "evaluate", "evaluate", {"prompts": 9, **FOUND}, {"answers.jsonl": rows}
    )
    options = [f"stages.{name}={path}" for name, path in stages.items()]
    if judged:
        options.append(f"judgments={a_log(place / 'judgments.db', evaluation, judged)}")
    out = place / "report"
    told = plaudit(
        "report", f"evaluation={evaluation}", *options, "reward=reward", "judge=reward",
        "--output", out,
    )  # fmt: skip
    assert told.code == 0, told.err
    return out / "report.html", json.loads((out / "summary.json").read_text())


def a_log(file: Path, evaluation: Path, judged: Callable[[Item], Answer]) -> Path:
    store, items = open_store(file), items_of_evaluation(evaluation)
    put_project(store, "p", "{}")
    add_items(store, "p", items, 1)
    append(store, [judgment(item, "reader", judged(item)) for item in items])
    return file


def test_what_models_wrote_is_text_and_nothing_is_fetched(tmp_path: Path, browser: Browser):
    file, _ = a_run(tmp_path, [HOSTILE, "&lt;b&gt; stays as it is", CALL])
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri(), wait_until="networkidle")
    assert page.title() == "A Plaudit run"
    assert asked == [file.as_uri()]
    assert page.locator("script, img, link, iframe").count() == 0
    text = page.inner_text("main")
    assert HOSTILE in text and "&lt;b&gt; stays as it is" in text
    assert 'add_order_item(menu_item_id="latte-1", quantity=2)' in text
    page.close()


def test_answers_of_several_turns_are_shown_whole(tmp_path: Path):
    called = Message(role="assistant", tool_calls=(ToolCall(name="menu", arguments={"of": "tea"}),))
    turns = [called, Message(role="tool", content="4.50"), Message(role="assistant", content="-")]
    file, _ = a_run(tmp_path, ["It is 4.50."], [turn.model_dump(mode="json") for turn in turns])
    answers = file.read_text().partition('<div class="answers">')[2].partition("</section>")[0]
    shown = [answers.index(part) for part in ("menu(of=", "4.50</span>", "It is 4.50.")]
    assert shown == sorted(shown) and answers.count("It is 4.50.") == len(NAMES)


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_no_width_scrolls_sideways(tmp_path: Path, browser: Browser, width: int):
    file, _ = a_run(tmp_path, ["unbroken" * 80, CALL.replace("latte-1", "x" * 300)])
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = "Array.from(document.querySelectorAll('.answer, .turn, .tile, .row div:not(.track)'))"
    assert page.evaluate(f"{cut}.filter(e => e.scrollWidth > e.clientWidth + 1).length") == 0
    page.close()


def test_both_colour_schemes_can_be_read(tmp_path: Path, browser: Browser):
    file, _ = a_run(tmp_path, ["hello"])
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(file.as_uri())
        style = "getComputedStyle(document.body)"
        ink, paper = page.evaluate(f"[{style}.color, {style}.backgroundColor]")
        assert contrast(ink, paper) > 7
        soft = page.evaluate("getComputedStyle(document.querySelector('.soft')).color")
        assert contrast(soft, paper) > 4.5
        page.close()


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio of two rgb(...) colours."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_page_leads_with_the_verdict_and_shows_every_figure(tmp_path: Path):
    file, summary = a_run(tmp_path, ["hello"])
    page = file.read_text()
    assert "None of the checks found anything" in page
    assert "60.0 % (55.0 to 65.0)" in page and "70.0 % (66.0 to 74.0)" in page
    assert summary["win_rate"] == FOUND["win_rate"]
    assert summary["reward_model"]["accuracy"] == [0.66, 0.7, 0.74]
    assert summary["reward_model"]["floors"]["auc"] == FLOORS
    assert set(summary["seconds"]) == {"reward", "grpo", "evaluate"}
    assert summary["peak_rss_mb"] > 0


def test_the_page_says_what_a_person_says(tmp_path: Path):
    liked = {"grpo": Pairwise(strength=2), "shuffled_control": Pairwise(strength=-1)}
    file, summary = a_run(
        tmp_path, ["a", "b", "c"], endings=("", "!", "?"),
        judged=lambda item: liked[item.candidates[1].source],
    )  # fmt: skip
    page = file.read_text()
    assert "6 pairs judged blind" in page and "the judge agrees" in page
    assert "grpo over the baseline" in page and "shuffled_control over the baseline" in page
    assert summary["reader"]["win_rate"]["grpo"]["rate"][1:] == [1.0, 1.0]
    assert summary["reader"]["agreement"]["judge"]["rate"][1] == 0.5


def changed(place: tuple[str, ...], value: object) -> dict[str, Any]:
    found = copy.deepcopy(FOUND)
    *way, last = place
    inner = found
    for key in way:
        inner = inner[key]
    inner[last] = value
    return found


WORRIES = {
    "control off": (("win_rate", "shuffled_control", "raw"), [0.55, 0.6, 0.65], "optimising noise"),
    "not shown": (("win_rate", "grpo", "length_controlled"), [0.45, 0.52, 0.6], "is not shown"),
    "worse": (("win_rate", "grpo"), rates([0.3, 0.4, 0.45]), "is worse"),
    "length": (("win_rate", "grpo", "raw"), [0.7, 0.75, 0.8], "rewards longer answers"),
    "hacking": (("behaviour", "grpo", "judge_score"), 0.4, None),
    "long": (("behaviour", "grpo", "response_tokens"), 30.0, "1.50 times as long"),
    "repeats": (("behaviour", "grpo", "repetition"), 0.3, "repeats itself"),
    "cut": (("behaviour", "grpo", "stopped"), 0.8, "20% of grpo's answers did not end"),
    "variety": (("behaviour", "grpo", "entropy_per_token"), 0.2, "lost variety"),
    "calls": (("tool_calls", "grpo", "difference"), [-0.2, -0.1, -0.05], "fewer valid tool calls"),
}


@pytest.mark.parametrize("what", WORRIES)
def test_each_worry_is_told_when_and_only_when_it_is_there(what: str):
    place, value, said = WORRIES[what]
    assert worries(FOUND, HELD_OUT, "shuffled_control") == []
    if what == "hacking":  # both scores moved, in opposite directions
        found = changed(("behaviour", "grpo"), BEHAVIOUR | {"judge_score": 0.4, "reward_score": 1})
        said = "learned the reward model's mistakes"
    else:
        found = changed(place, value)
    told = worries(found, HELD_OUT, "shuffled_control")
    assert len(told) == 1 and said in told[0]


def test_a_weak_judge_comes_first():
    weak = {"accuracy": {"model": [0.48, 0.6, 0.7]}}
    found = changed(("behaviour", "grpo", "stopped"), 0.8)
    told = worries(found, weak, "shuffled_control")
    assert "ranks 60% of held-out human pairs" in told[0] and len(told) == 2
    assert worries(FOUND, None, "shuffled_control") == []


def test_a_judge_that_a_simple_rule_beats_is_a_worry():
    beaten = {"accuracy": {"model": [0.6, 0.7, 0.8], "bigrams": [0.6, 0.74, 0.9]}}
    (told,) = worries(FOUND, beaten, "shuffled_control")
    assert told.startswith("On its held-out pairs a bag of bigrams") and "right in 74%" in told
    better = {"accuracy": {"model": [0.6, 0.75, 0.8], "bigrams": [0.6, 0.74, 0.9]}}
    assert worries(FOUND, better, "shuffled_control") == []


def test_turns_are_shown_as_words_and_calls():
    call = ToolCall(name="pay", arguments={"amount": 2, "to": "Zoë"})
    shown = shown_message(Message(role="assistant", content="Sure.", tool_calls=(call,)))
    assert (shown.said, shown.calls) == ("Sure.", ('pay(amount=2, to="Zoë")',))
    assert shown_answer(CALL).calls == ('add_order_item(menu_item_id="latte-1", quantity=2)',)
    broken = shown_answer("<|call|>add_order_item {")
    assert broken.broken and broken.said == "<|call|>add_order_item {"
    long = shown_message(Message(role="tool", content="x" * 1000))
    assert len(long.said) == LONGEST_RESULT + 2


def test_a_chart_takes_the_pages_colours_and_never_changes():
    points = {"a": [(1.0, 2.0), (2.0, 3.0)], "b": [(1.0, 1.0), (2.0, 0.0)]}
    chart = line_chart(points, label="loss", smooth_steps=2)
    assert chart == line_chart(points, label="loss", smooth_steps=2)
    assert "currentColor" in chart and "#000000" not in chart and ">loss<" in chart
