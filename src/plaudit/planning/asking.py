"""What stages compute that sample: rl, online, and those that only ask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from plaudit.planning.known import Known
from plaudit.planning.passes import batches, forward_pass, learned, sampled, scorers
from plaudit.planning.rows import Lengths, Row
from plaudit.planning.work import Model, Phase, Work


def rl_work(config: Any, known: Known) -> Work:
    policy = learned(config, known)
    reference = Model(role="reference", shape=policy.shape, shared=bool(config.lora_r))
    critics = _critics(config, known, policy)
    judges = _reward_models(config, known)
    lengths = known.reader(config.model).prompts(
        config.dataset, config.portion, config, responses=config.num_generations
    )
    own = (policy,) if reference.shared else (policy, reference)
    phases = sampled(config, policy, judges, lengths, calls=config.max_steps)
    return Work(
        models=(*own, *critics, *judges),
        phases=(*phases, *_learning(config, (policy, reference, *critics), lengths)),
        precision=config.precision,
        lengths=lengths,
        steps=config.max_steps,
        notes=tuple(_rl_notes(config)),
    )


def _reward_models(config: Any, known: Known) -> list[Model]:
    """The first of them without weights where it is an adapter on the policy's own backbone."""
    named = {name: source.reward_model for name, source in config.sources.items()}
    judges, first = scorers(known, named), config.first_reward_model
    rank = known.rank_on(config.model, first) if config.lora_r and first else 0
    on_it = {name for name, model in named.items() if rank and model == first}
    return [replace(j, lora_r=rank, shared=True) if j.role in on_it else j for j in judges]


def _critics(config: Any, known: Known, policy: Model) -> list[Model]:
    """None or one: on the policy's backbone, or as large as what it begins from."""
    if config.critic is None:
        return []
    source = known.shape(config.critic.model or config.first_reward_model)
    shared = bool(config.lora_r)
    return [
        Model(
            role="critic", shape=policy.shape if shared else source, head="scalar", trained=True,
            lora_r=config.lora_r, shared=shared,
        )
    ]  # fmt: skip


def _learning(config: Any, roles: tuple[Model, ...], lengths: Lengths) -> list[Phase]:
    """What follows on sampling: the reference's pass (and values), and the updates."""
    policy, reference, *critics = roles
    budget, shape = config.micro_batch_tokens, policy.shape
    asked = (reference, *critics, *([policy] if config.correction else []))
    name = "reference and values" if critics else "reference"
    whole = batches(lengths, config.batch_size, budget, shape)
    part = -(-config.batch_size // config.num_mini_batches)
    update = Phase(
        name="update",
        kind="update",
        models=(policy, *critics),
        cut=batches(lengths, part, budget, shape),
        calls=config.max_steps * config.updates_per_step,
        updates=True,
        recomputes=config.gradient_checkpointing,
    )
    return [forward_pass(name, asked, whole, config.max_steps), update]


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


def online_work(config: Any, known: Known) -> Work:
    policy = learned(config, known)
    reference = Model(role="reference", shape=policy.shape, shared=bool(config.lora_r))
    judges = scorers(known, {"reward": config.reward_model})
    lengths = known.reader(config.model).prompts(
        config.dataset, config.portion, config, responses=config.num_generations
    )
    phases = sampled(config, policy, judges, lengths, calls=config.max_steps)
    pairs = Lengths(
        rows=tuple(Row.alike(r.prompt, r.responses[0], 2) for r in lengths.rows),
        count=lengths.count,
        said=lengths.said,
    )
    micro = batches(pairs, config.batch_size, config.micro_batch_tokens, policy.shape)
    phases += [forward_pass("reference", (reference,), micro, config.max_steps)]
    phases += [
        Phase(
            name="update", kind="update", models=(policy,), cut=micro,
            calls=config.max_steps, updates=True, recomputes=config.gradient_checkpointing,
        )
    ]  # fmt: skip
    own = (policy,) if config.lora_r else (policy, reference)
    return Work(
        models=(*own, *judges), phases=tuple(phases), precision=config.precision,
        lengths=lengths, steps=config.max_steps,
    )  # fmt: skip


def asking_work(config: Any, known: Known) -> Work:
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
    judges = scorers(known, named | getattr(config, "scorers", {}))
    first = next(iter(policies.values()))
    lengths = known.reader(first).prompts(
        config.dataset, config.portion, config,
        responses=config.num_generations, most=config.max_prompts,
    )  # fmt: skip
    phases: list[Phase] = []
    models = [Model(role=name, shape=known.shape(model)) for name, model in policies.items()]
    together = getattr(config, "save_prompts", None) or lengths.count or ASKED_TOGETHER
    once = None if lengths.count is None else lengths.count / together
    held = _held_against(config, known)
    for model in models:
        asked = sampled(config, model, judges, lengths, calls=once, prompts=together)
        phases += asked
        for reference in held:
            cut = batches(lengths, together, config.micro_batch_tokens, reference.shape)
            phases.append(forward_pass("reference", (reference,), cut, once))
    # One policy is in memory at a time, the largest counts.
    largest = max(models, key=lambda model: model.weights)
    return Work(
        models=(largest, *held, *judges), phases=tuple(phases), precision=config.precision,
        lengths=lengths, steps=lengths.count,
    )  # fmt: skip


ASKED_TOGETHER = 64
"""Prompts of a call, where it is not known how many there are."""


def _held_against(config: Any, known: Known) -> list[Model]:
    """The baseline, which evaluate keeps beside the policy that answers: it is asked how probable
    every answer is."""
    baseline = getattr(config, "baseline", None)
    return [Model(role="reference", shape=known.shape(baseline))] if baseline else []
