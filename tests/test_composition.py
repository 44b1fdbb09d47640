"""RewardSources of reward: what each is shown, and how what they say becomes one reward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from plaudit.assets import shipped
from plaudit.config import make_config
from plaudit.models import stop_ids
from plaudit.records import Invalid, Message, Prompt, Rollout, Score
from plaudit.scoring import (
    CosineLengthScorer,
    FunctionScorer,
    LengthScorer,
    Parts,
    RepetitionScorer,
    RewardSources,
    SpanScorer,
    ToolCallScorer,
    after,
    inside,
    load_tools,
)
from plaudit.stages.rl_combine import CombineOptions
from plaudit.stages.rl_composition import Composition, check_columns
from plaudit.stages.rl_rewards import SourceOptions
from plaudit.text import Renderer, load_tokenizer
from tests.small import TOOLS

NANO = "plaudit/nano"


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    tokenizer = load_tokenizer(str(shipped(NANO)))
    return Renderer(tokenizer, stop_ids(NANO, tokenizer))


def asked(name: str = "p", **columns) -> Prompt:
    content = (Message(role="user", content="A latte, please."),)
    return Prompt(id=name, conversation=name, content=content, columns=columns)


def written(renderer: Renderer, text: str, *, stopped: bool = True, prompt=None) -> Rollout:
    ids = renderer.tokenizer.encode(text, add_special_tokens=False)
    ids = np.array([*ids, *([renderer.stop_ids[0]] if stopped else [])], np.int32)
    return Rollout(
        prompt=prompt or asked(),
        prompt_ids=np.array([1, 2], np.int32),
        ids=ids,
        logprobs=-np.arange(len(ids), dtype=np.float32),
        text=text,
        finish_reason="stop" if stopped else "length",
        policy_version=0,
        index=0,
    )


def of_tokens(rollout: Rollout, ids: list[int]) -> Rollout:
    logprobs, mask = np.zeros(len(ids), np.float32), np.ones(len(ids), bool)
    return replace(rollout, ids=np.array(ids, np.int32), logprobs=logprobs, written=mask)


class Recording:
    """Says the same of everything, and remembers what it was shown."""

    def __init__(self, value: float = 1.0) -> None:
        self.value, self.shown = value, []

    def score(self, rollouts: Sequence[Rollout]) -> list[Score | Invalid]:
        self.shown += rollouts
        return [Score(value=self.value) for _ in rollouts]


THOUGHT = "<think>milk, then sugar</think>Here it is. <answer>One latte.</answer>"


@pytest.mark.parametrize(
    ("cut", "text"),
    [(inside("answer"), "One latte."), (after("think"), THOUGHT[THOUGHT.index("Here") :])],
)
@pytest.mark.parametrize("stopped", [True, False])
def test_a_span_is_shown_alone_with_its_own_tokens(cut, text: str, stopped: bool, renderer):
    source, rollout = Recording(), written(renderer, THOUGHT, stopped=stopped)
    scorer = SpanScorer(scorer=source, cut=cut, renderer=renderer)
    assert scorer.score([rollout]) == [Score(value=1.0)]
    (shown,) = source.shown
    assert shown.text == text and shown.prompt is rollout.prompt
    assert text in renderer.text(shown.ids)
    assert len(renderer.text(shown.ids)) < len(text) + 12  # a token may straddle the border
    assert (shown.ids[-1] in renderer.stop_ids) == stopped
    places = -shown.logprobs.astype(int)
    np.testing.assert_array_equal(shown.ids, rollout.ids[places])
    assert list(places) == sorted(places)


@pytest.mark.parametrize(
    "text", ["no tags", "<answer>open", "<answer></answer>", "</answer>x<answer>"]
)
def test_a_response_without_the_span_is_invalid_or_gets_what_was_said(text: str, renderer):
    source, rollouts = Recording(), [written(renderer, text), written(renderer, THOUGHT)]
    strict = SpanScorer(scorer=source, cut=inside("answer"), renderer=renderer)
    lacking, found = strict.score(rollouts)
    assert isinstance(lacking, Invalid) and "span" in lacking.reason
    assert found == Score(value=1.0) and len(source.shown) == 1
    kind = replace(strict, without_span=-1.0)
    assert kind.score(rollouts) == [Score(value=-1.0), Score(value=1.0)]


def test_the_last_answer_counts_and_thinking_ends_once(renderer):
    source = Recording()
    twice = "<answer>a</answer> no, <answer>b\nc</answer>"
    SpanScorer(scorer=source, cut=inside("answer"), renderer=renderer).score(
        [written(renderer, twice)]
    )
    assert source.shown[0].text == "b\nc"
    assert after("think")("<think>a</think> b </think> c") == (16, 29)


def test_cosine_lengths_go_from_one_end_to_the_other(renderer):
    def said(value: float, tokens: int, stopped: bool = True) -> float:
        rollout = of_tokens(written(renderer, "x", stopped=stopped), [0] * tokens)
        scorer = CosineLengthScorer(
            scorer=Recording(value), max_tokens=100, right_short=2.0, right_long=1.0,
            wrong_short=-10.0, wrong_long=0.0, exceeded=-10.0,
        )  # fmt: skip
        (score,) = scorer.score([rollout])
        assert isinstance(score, Score)
        return score.value

    assert said(1.0, 50) == pytest.approx(1.5) and said(0.0, 50) == pytest.approx(-5.0)
    assert said(1.0, 100) == pytest.approx(1.0) and said(0.0, 100) == pytest.approx(0.0)
    assert said(1.0, 25) == pytest.approx(1.5 + 0.5 * math.cos(math.pi / 4))
    assert said(1.0, 100, stopped=False) == -10.0
    right, wrong = ([said(v, n) for n in range(1, 100, 7)] for v in (1.0, 0.0))
    assert right == sorted(right, reverse=True) and wrong == sorted(wrong)


def test_lengths_and_repetitions_are_counted(renderer):
    rollout = of_tokens(written(renderer, "x"), [1, 2, 3, 1, 2, 3, 9])
    assert LengthScorer().score([rollout]) == [Score(value=7.0)]
    assert RepetitionScorer().score([rollout]) == [Score(value=pytest.approx(1 / 5))]
    assert RepetitionScorer().score([of_tokens(rollout, [1])]) == [Score(value=0.0)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("One moment.", 0.5),
        ("<|call|>show_menu {}", 1.0),
        ('<|call|>get_menu_items {"query": "latte"}', 1.0),
        ("<|call|>get_menu_items {}", 0.0),
        ("<|call|>bake_cake {}", 0.0),
        ("<|call|>show_menu {", 0.0),
    ],
)
def test_tool_calls_are_worth_what_they_are(text: str, value: float, renderer):
    path = shipped(TOOLS)
    assert path is not None
    scorer = ToolCallScorer(tools=load_tools(path))
    assert scorer.score([written(renderer, text)]) == [Score(value=value)]
    plain = Prompt(id="p", conversation="p", content="A latte!")
    with pytest.raises(ValueError, match="p: plain text; tools are called in conversations"):
        scorer.score([written(renderer, text, prompt=plain)])


def test_one_silent_source_makes_a_response_invalid(renderer):
    picky = FunctionScorer(lambda prompts, completions: [None, 2.0])
    rollouts = [written(renderer, "a"), written(renderer, "b")]
    both = RewardSources(scorers={"one": Recording(3.0), "picky": picky})
    lacking, parts = both.score(rollouts)
    assert isinstance(lacking, Invalid) and lacking.reason.startswith("picky: ")
    assert not isinstance(parts, Invalid)
    assert {name: score.value for name, score in parts.items()} == {"one": 3.0, "picky": 2.0}
    (alone, _) = RewardSources(scorers={"picky": picky}).score(rollouts)
    assert isinstance(alone, Invalid) and not alone.reason.startswith("picky: ")


def composed(rewards: dict, combine: dict | None = None, references=None) -> Composition:
    sources = {
        name: make_config(SourceOptions, {"rule": "length", **said}, name)
        for name, said in rewards.items()
    }
    how = make_config(CombineOptions, combine or {}, "combine")
    assert not any(how.faults(sources).values())
    return Composition.resume(sources, how, {}, references or {})


def parts(**values: float) -> Parts:
    return {name: Score(value=value) for name, value in values.items()}


def rewards_of(composition: Composition, said: Sequence[Parts], prompts=None) -> list[float]:
    prompts = prompts or [asked()] * len(said)
    rollouts = [replace(PLAIN, prompt=prompt) for prompt in prompts]
    return composition.rewards(rollouts, said)[0]


PLAIN = Rollout(
    prompt=asked(), prompt_ids=np.array([1]), ids=np.array([2]), logprobs=np.array([0.0]),
    text="x", finish_reason="stop", policy_version=0, index=0,
)  # fmt: skip
TWO = [parts(a=1.0, b=10.0), parts(a=3.0, b=-10.0)]


def test_scores_are_normalised_then_clipped_then_weighed():
    assert rewards_of(composed({"a": {"weight": 2.0}, "b": {"weight": -0.1}}), TWO) == [1.0, 7.0]
    clipped = {"a": {}, "b": {"clip": 2.0, "weight": 10.0}}
    assert rewards_of(composed(clipped), TWO) == [21.0, -17.0]
    running = {"a": {"normalisation": "running"}, "b": {"normalisation": "min_max"}}
    assert rewards_of(composed(running), TWO) == [-1.0 + 1.0, 1.0 + 0.0]
    sigmoid = {"a": {"normalisation": "sigmoid"}, "b": {"weight": 0.0}}
    assert rewards_of(composed(sigmoid), TWO) == pytest.approx(
        [1 / (1 + math.e**-x) for x in (1, 3)]
    )


def test_scales_are_remembered_from_step_to_step():
    first = composed({"a": {"normalisation": "min_max"}, "b": {"normalisation": "running"}})
    _, second = first.rewards([PLAIN] * 2, TWO)
    again = Composition.resume(second.sources, second.combine, second.as_dict(), {})
    assert again.moments == second.moments
    assert rewards_of(again, [parts(a=2.0, b=0.0)]) == pytest.approx([0.5])
    assert rewards_of(first, []) == []


def test_ensembles_are_combined_member_by_member():
    assert rewards_of(composed({"a": {}, "b": {}}, {"method": "worst"}), TWO) == [1.0, -10.0]
    uncertain = {"method": "mean_minus_variance", "variance_coefficient": 0.5}
    assert rewards_of(composed({"a": {}, "b": {}}, uncertain), TWO) == pytest.approx(
        [5.5 - 0.5 * 4.5**2, -3.5 - 0.5 * 6.5**2]
    )


def test_gates_see_probabilities_and_prompts_that_ask_for_safety():
    say = {"method": "gated", "safety": "a", "safety_column": "unsafe", "whiten": False}
    gate = composed({"a": {}, "b": {}}, say)
    said = [parts(a=0.1, b=0.9), parts(a=0.2, b=0.9), parts(a=0.2, b=0.9)]
    prompts = [asked("x"), asked("y", unsafe=False), asked("z", unsafe=True)]
    expected = [math.log(0.1 / 0.9), math.log(9.0), math.log(0.25)]
    assert rewards_of(gate, said, prompts) == pytest.approx(expected, abs=1e-6)
    whitened = composed({"a": {}, "b": {}}, say | {"whiten": True})
    assert np.mean(rewards_of(whitened, said, prompts)) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="a came to 3, but gated needs probabilities"):
        rewards_of(gate, [parts(a=3.0, b=0.5)])


def test_what_says_that_safety_decides_is_true_or_false_and_there():
    say = CombineOptions(method="gated", safety="a", safety_column="unsafe")
    prompts = [asked("x"), asked("y", unsafe=True)]
    check_columns(say, prompts)
    with pytest.raises(ValueError, match="no prompt has a column 'unsaef'; did you mean unsafe"):
        check_columns(say.model_copy(update={"safety_column": "unsaef"}), prompts)
    with pytest.raises(ValueError, match="column 'unsafe' holds 'false'; combine"):
        check_columns(say, [asked("z", unsafe="false")])


def test_gdpo_groups_by_prompt():
    groups = [asked("x")] * 2 + [asked("y")] * 2
    said = [parts(a=0, b=0), parts(a=0, b=1), parts(a=0, b=0), parts(a=1, b=1)]
    found = rewards_of(composed({"a": {}, "b": {}}, {"method": "gdpo"}), said, groups)
    assert found[3] == pytest.approx(2 * found[1]) and found[0] == pytest.approx(-found[1])


def test_a_constraint_weighs_more_the_longer_it_is_violated():
    limits = {"method": "constrained", "limits": {"b": 2.0}, "multiplier_rate": 0.2}
    composition = composed({"a": {}, "b": {}}, limits)
    values = []
    for _ in range(3):
        found, composition = composition.rewards([PLAIN] * 2, [parts(a=1, b=4), parts(a=1, b=3)])
        values.append(composition.metrics()["multiplier/b"])
        lam = values[-1]
        assert found == pytest.approx([(1 - lam * 4) / (1 + lam), (1 - lam * 3) / (1 + lam)])
    assert 1.0 < values[0] < values[1] < values[2]
    assert values[0] == pytest.approx(math.exp(0.2 * 1.0 * 1.5))
    assert composition.metrics()["cost/b"] == pytest.approx(3.5)
    saved = composition.as_dict()
    again = Composition.resume(composition.sources, composition.combine, saved, {})
    assert again == composition


def test_par_compares_with_the_references_own_responses():
    sampled = composed({"a": {"normalisation": "par"}}, references={"a": {"p": [0.0, 2.0]}})
    (value,) = rewards_of(sampled, [parts(a=1.0)])
    assert value == pytest.approx((1 / (1 + math.e**-1) + 1 / (1 + math.e)) / 2)
    other = replace(PLAIN, prompt=asked("unknown"))
    lacking = sampled.comparable(other, parts(a=1.0))
    assert isinstance(lacking, Invalid) and "a: no response of the reference" in lacking.reason
    assert sampled.comparable(PLAIN, parts(a=1.0)) == parts(a=1.0)


def test_par_reads_rewards_that_were_computed_before():
    column = composed({"a": {"normalisation": "par", "reference_column": "ref"}})
    prompts = [asked("x", ref=1.0), asked("y", ref=[0.0, 2.0]), asked("z", ref=[])]
    found = rewards_of(column, [parts(a=1.0)] * 2, prompts[:2])
    assert found == pytest.approx([0.5, (1 / (1 + math.e**-1) + 1 / (1 + math.e)) / 2])
    empty = column.comparable(replace(PLAIN, prompt=prompts[2]), parts(a=1.0))
    assert isinstance(empty, Invalid)
    for wrong in ("high", None, [True], [[1.0]]):
        with pytest.raises(ValueError, match=r"p: column 'ref' holds .*; rewards\.a expects"):
            rewards_of(column, [parts(a=1.0)], [asked(ref=wrong)])
