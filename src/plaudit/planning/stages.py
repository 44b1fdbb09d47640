"""What each stage computes, from its config: models, phases and how often they are done."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from plaudit.config import Config
from plaudit.planning.asking import asking_work, online_work, rl_work
from plaudit.planning.known import Known, pretrained_config
from plaudit.planning.passes import batches, learned
from plaudit.planning.rows import Lengths, Row
from plaudit.planning.shapes import count
from plaudit.planning.work import Model, Phase, Work


def work_of(stage: str, config: Config, known: Known) -> Work | None:
    """What a stage computes; None where it computes with no model, or is not reckoned.

    Raises:
        ValueError: a model's sizes cannot be known, or its data cannot be read.
    """
    reckon = STAGES.get(stage)
    return reckon(config, known) if reckon else None


def _sft(config: Any, known: Known) -> Work:
    policy = learned(config, known)
    lengths = known.expected(config.dataset, branches=1) or known.reader(
        config.model
    ).demonstrations(config.dataset, config.portion, config.max_length)
    return _fitted(config, (policy,), lengths)


def _reward(config: Any, known: Known) -> Work:
    model = learned(config, known, role="reward", scalar=True)
    lengths = _judged(config, known)
    return _fitted(config, (model,), lengths)


def _judged(config: Any, known: Known) -> Lengths:
    return known.expected(config.dataset, branches=2) or known.reader(config.model).judged(
        config.dataset, config.portion, config.max_length
    )


def _process(config: Any, known: Known) -> Work:
    model = learned(config, known, role="reward", scalar=True)
    lengths = known.reader(config.model).stepped(
        config.dataset, config.portion, config.max_length, config.separator
    )
    return _fitted(config, (model,), lengths)


def _preference(config: Any, known: Known) -> Work:
    policy = learned(config, known)
    lengths = _judged(config, known)
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
    shape = count(pretrained_config(config), name="new", said="its options")
    policy = Model(role="policy", shape=shape, trained=True)
    row = Row(prompt=1, responses=(config.max_length - 1,), written=config.max_length - 1)
    said = f"rows of max_length={config.max_length}: the tokenizer is yet to be made"
    lengths = Lengths(rows=(row,), count=known.stated.rows, said=said)
    return _fitted(config, (policy,), lengths)


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
        cut=batches(lengths, config.batch_size, config.micro_batch_tokens, models[0].shape),
        calls=steps,
        updates=True,
        recomputes=config.gradient_checkpointing,
    )
    return Work(
        models=models, phases=(update,), precision=config.precision, lengths=lengths, steps=steps
    )


STAGES: Mapping[str, Callable[[Any, Known], Work]] = {
    "pretrain": _pretrain,
    "sft": _sft,
    "reward": _reward,
    "process": _process,
    "preference": _preference,
    "online": online_work,
    "rl": rl_work,
    "sample": asking_work,
    "measure": asking_work,
    "evaluate": asking_work,
    "best_of_n": asking_work,
}
"""The stages that are reckoned, by name."""
