"""What each stage computes, from its config: models, phases and how often they are done."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import LlamaConfig

from plaudit.config import Config
from plaudit.pipeline import Step
from plaudit.planning.data import NANO, Reader, Stated, has_tokenizer
from plaudit.planning.rows import Cut, Lengths, Row, cut
from plaudit.planning.shapes import Shape, count, shape_of
from plaudit.planning.work import Model, Phase, Sampling, Work

SIMULATED_UPDATES = 16
"""Updates drawn to know how rows fall into micro-batches."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """The steps of a recipe, to find what a model that is yet to be made will be."""

    steps: Sequence[Step]
    stated: Stated

    def shape(self, model: str) -> Shape:
        """The sizes of a model: of what is there, or of what the step that writes it begins with.

        Raises:
            ValueError: nothing says how large it is.
        """
        step = self._writer(model)
        if step is None:
            return shape_of(model)
        if step.stage == "pretrain":
            return count(_pretrained(step.config), name=step.name, said="its options")
        return self.shape(_begins_with(step))

    def reader(self, model: str) -> Reader:
        step = self._writer(model)
        while step is not None and step.stage != "pretrain":
            model = _begins_with(step)
            step = self._writer(model)
        if step is not None:
            return Reader(tokenizer=NANO, stated=self.stated)
        return Reader(tokenizer=model if has_tokenizer(model) else None, stated=self.stated)

    def _writer(self, model: str) -> Step | None:
        """The step that writes a model that is not there yet."""
        path = Path(model)
        if (path / "artifact.json").is_file() or (path / "config.json").is_file():
            return None
        return next((s for s in self.steps if path.is_relative_to(s.output)), None)


def work_of(stage: str, config: Config, known: Known) -> Work | None:
    """What a stage computes; None where it computes with no model, or is not reckoned.

    Raises:
        ValueError: a model's sizes cannot be known, or its data cannot be read.
    """
    reckon = STAGES.get(stage)
    return reckon(config, known) if reckon else None


def _begins_with(step: Step) -> str:
    """The model that a step's own is made of."""
    config: Any = step.config
    several = getattr(config, "models", None) or list(getattr(config, "policies", {}).values())
    found = getattr(config, "model", None) or (several[0] if several else None)
    if found is None:
        raise ValueError(f"{step.name}: writes no model, but another step reads one from it")
    return found


def _pretrained(config: Any) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        tie_word_embeddings=True,
    )


def _sft(config: Any, known: Known) -> Work:
    policy = _learned(config, known)
    lengths = known.reader(config.model).demonstrations(
        config.dataset, config.portion, config.max_length
    )
    return _fitted(config, (policy,), lengths)


def _reward(config: Any, known: Known) -> Work:
    model = _learned(config, known, role="reward", scalar=True)
    lengths = known.reader(config.model).judged(config.dataset, config.portion, config.max_length)
    return _fitted(config, (model,), lengths)


def _process(config: Any, known: Known) -> Work:
    model = _learned(config, known, role="reward", scalar=True)
    lengths = known.reader(config.model).stepped(
        config.dataset, config.portion, config.max_length, config.separator
    )
    return _fitted(config, (model,), lengths)


def _preference(config: Any, known: Known) -> Work:
    policy = _learned(config, known)
    lengths = known.reader(config.model).judged(config.dataset, config.portion, config.max_length)
    whole = any("policy.reference_kl" in term.row.needs for term in config.terms)
    apart = not config.lora_r and (config.moving_reference or whole)
    reference = Model(role="reference", shape=policy.shape, shared=not apart)
    models = (policy, reference) if apart else (policy,)
    work = _fitted(config, models, lengths)
    if not any(term.row.reference for term in config.terms):
        return work
    [update] = work.phases
    # A reference that stays is asked once for every row, one that moves at every update.
    once = None if lengths.count is None else lengths.count / config.batch_size
    before = Phase(
        name="reference",
        kind="forward",
        models=(reference,),
        cut=update.cut,
        calls=work.steps if config.moving_reference else once,
    )
    return Work(
        models=models, phases=(before, update), precision=work.precision,
        lengths=lengths, steps=work.steps, notes=work.notes,
    )  # fmt: skip


def _pretrain(config: Any, known: Known) -> Work:
    shape = count(_pretrained(config), name="new", said="its options")
    policy = Model(role="policy", shape=shape, trained=True)
    row = Row(prompt=1, responses=(config.max_length - 1,), written=config.max_length - 1)
    said = f"rows of max_length={config.max_length}: the tokenizer is yet to be made"
    lengths = Lengths(rows=(row,), count=known.stated.rows, said=said)
    return _fitted(config, (policy,), lengths)


def _rl(config: Any, known: Known) -> Work:
    policy = _learned(config, known)
    shape, lora = policy.shape, config.lora_r
    reference = Model(role="reference", shape=shape, shared=bool(lora))
    models = [policy] if lora else [policy, reference]
    critics: list[Model] = []
    if config.critic is not None:
        source = known.shape(config.critic.model or config.first_reward_model)
        critics = [
            Model(
                role="critic", shape=shape if lora else source, head="scalar", trained=True,
                lora_r=lora, shared=bool(lora),
            )
        ]  # fmt: skip
    scorers = [
        Model(role=name, shape=known.shape(source.reward_model), head="scalar")
        for name, source in config.sources.items()
        if source.reward_model is not None
    ]
    lengths = known.reader(config.model).prompts(
        config.dataset, config.portion, config, responses=config.num_generations
    )
    phases = _sampled(config, policy, scorers, lengths, calls=config.max_steps)
    batches = _batches(lengths, config.batch_size, config.micro_batch_tokens, shape)
    asked = (reference, *critics) if config.correction is None else (reference, *critics, policy)
    phases += [_pass("reference" if not critics else "reference and values", asked, batches, config.max_steps)]  # noqa: E501  # fmt: skip
    part = -(-config.batch_size // config.num_mini_batches)
    phases += [
        Phase(
            name="update",
            kind="update",
            models=(policy, *critics),
            cut=_batches(lengths, part, config.micro_batch_tokens, shape),
            calls=config.max_steps * config.updates_per_step,
            updates=True,
        )
    ]
    return Work(
        models=(*models, *critics, *scorers),
        phases=tuple(phases),
        precision=config.precision,
        lengths=lengths,
        steps=config.max_steps,
        notes=tuple(_rl_notes(config)),
    )


def _rl_notes(config: Any) -> list[str]:
    found = {
        "several rounds of sampling in a step (dynamic_sampling) are not reckoned": (
            bool(config.dynamic_sampling)
        ),
        "the pretraining mix (ptx) is not reckoned": config.ptx is not None,
        "turns of the environment, and its tools' time, are not reckoned": (
            config.environment is not None
        ),
        "responses sampled as baselines are not reckoned": (
            config.optimal_value is not None or config.row.advantage == "greedy"
        ),
    }
    return [note for note, true in found.items() if true]


def _online(config: Any, known: Known) -> Work:
    policy = _learned(config, known)
    reference = Model(role="reference", shape=policy.shape, shared=bool(config.lora_r))
    scorers = _scorers(known, {"reward": config.reward_model})
    lengths = known.reader(config.model).prompts(
        config.dataset, config.portion, config, responses=config.num_generations
    )
    phases = _sampled(config, policy, scorers, lengths, calls=config.max_steps)
    pairs = Lengths(
        rows=tuple(Row.alike(r.prompt, r.responses[0], 2) for r in lengths.rows),
        count=lengths.count,
        said=lengths.said,
    )
    batches = _batches(pairs, config.batch_size, config.micro_batch_tokens, policy.shape)
    phases += [_pass("reference", (reference,), batches, config.max_steps)]
    phases += [
        Phase(
            name="update", kind="update", models=(policy,), cut=batches,
            calls=config.max_steps, updates=True,
        )
    ]  # fmt: skip
    own = (policy,) if config.lora_r else (policy, reference)
    return Work(
        models=(*own, *scorers), phases=tuple(phases), precision=config.precision,
        lengths=lengths, steps=config.max_steps,
    )  # fmt: skip


def _asking(config: Any, known: Known) -> Work:
    """sample, measure, evaluate and best_of_n: models answer, one after another, and are scored."""
    policies = {
        **{name: getattr(config, name) for name in ("model", "before", "after", "baseline")
           if getattr(config, name, None)},
        **getattr(config, "policies", {}),
    }  # fmt: skip
    named = {
        "judge": getattr(config, "judge", None),
        "reward": getattr(config, "reward_model", None),
    }
    scorers = _scorers(known, named | getattr(config, "scorers", {}))
    first = next(iter(policies.values()))
    lengths = known.reader(first).prompts(
        config.dataset, config.portion, config,
        responses=config.num_generations, most=config.max_prompts,
    )  # fmt: skip
    phases: list[Phase] = []
    models = [Model(role=name, shape=known.shape(model)) for name, model in policies.items()]
    once = None if lengths.count is None else lengths.count / ASKED_TOGETHER
    for model in models:
        phases += _sampled(config, model, scorers, lengths, calls=once, prompts=ASKED_TOGETHER)
    # One policy is in memory at a time, the largest counts.
    largest = max(models, key=lambda model: model.weights)
    return Work(
        models=(largest, *scorers), phases=tuple(phases), precision=config.precision,
        lengths=lengths, steps=lengths.count,
    )  # fmt: skip


ASKED_TOGETHER = 64
"""Prompts that a call of a stage that only asks is reckoned with."""


def _scorers(known: Known, named: Mapping[str, str | None]) -> list[Model]:
    return [
        Model(role=name, shape=known.shape(model), head="scalar")
        for name, model in named.items()
        if model is not None
    ]


def _sampled(
    config: Any,
    policy: Model,
    scorers: Sequence[Model],
    lengths: Lengths,
    *,
    calls: float | None,
    prompts: int = 0,
) -> list[Phase]:
    """The phases of a step's sampling and scoring."""
    rows = lengths.rows
    prompts = prompts or config.batch_size
    response = rows[0].responses[0]
    sampling = Sampling(
        prompts=prompts,
        responses=config.num_generations,
        prompt_tokens=sum(row.prompt for row in rows) / len(rows),
        response_tokens=response,
        slots=config.sampling_slots,
        longest=max(row.prompt for row in rows) + config.max_completion_length,
    )
    phases = [
        Phase(name="sampling", kind="sample", models=(policy,), sampling=sampling, calls=calls)
    ]
    doubled = 2 if hasattr(config, "learning_rate") else 1
    for model in scorers:
        batches = _batches(lengths, prompts, doubled * config.micro_batch_tokens, model.shape)
        phases.append(_pass(f"scoring by {model.role}", (model,), batches, calls))
    return phases


def _learned(config: Any, known: Known, *, role: str = "policy", scalar: bool = False) -> Model:
    return Model(
        role=role,
        shape=known.shape(config.model),
        head="scalar" if scalar else "language",
        trained=True,
        lora_r=config.lora_r,
    )


def _fitted(config: Any, models: tuple[Model, ...], lengths: Lengths) -> Work:
    """The work of a stage that goes through a fixed data set."""
    steps = None
    if lengths.count is not None:
        epoch = math.ceil(lengths.count / config.batch_size)
        steps = max(1, round(epoch * config.num_train_epochs))
    update = Phase(
        name="update",
        kind="update",
        models=models[:1],
        cut=_batches(lengths, config.batch_size, config.micro_batch_tokens, models[0].shape),
        calls=steps,
        updates=True,
    )
    return Work(
        models=models, phases=(update,), precision=config.precision, lengths=lengths, steps=steps
    )


def _pass(name: str, models: tuple[Model, ...], batches: Cut, calls: float | None) -> Phase:
    return Phase(name=name, kind="forward", models=models, cut=batches, calls=calls)


def _batches(lengths: Lengths, number: int, token_budget: int, shape: Shape) -> Cut:
    """The micro-batches of updates that were drawn: of a middling one, and the largest of all."""
    drawn = [
        cut(lengths.draw(number, seed), token_budget, shape.layout)
        for seed in range(SIMULATED_UPDATES)
    ]
    drawn.sort(key=lambda batches: sum(batch.positions for batch in batches))
    largest = max((b for batches in drawn for b in batches), key=lambda b: b.positions)
    return Cut(typical=tuple(drawn[len(drawn) // 2]), largest=largest)


STAGES: Mapping[str, Callable[[Any, Known], Work]] = {
    "pretrain": _pretrain,
    "sft": _sft,
    "reward": _reward,
    "process": _process,
    "preference": _preference,
    "online": _online,
    "rl": _rl,
    "sample": _asking,
    "measure": _asking,
    "evaluate": _asking,
    "best_of_n": _asking,
}
"""The stages that are reckoned, by name."""
