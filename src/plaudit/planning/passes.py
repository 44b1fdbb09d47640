"""Phases that several stages have: updates, forward passes, sampling with scoring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plaudit.planning.known import Known
from plaudit.planning.rows import Cut, Lengths, cut
from plaudit.planning.shapes import Shape
from plaudit.planning.work import Model, Phase, Sampling

SIMULATED_UPDATES = 16
"""Updates drawn to know how rows fall into micro-batches."""


def learned(config: Any, known: Known, *, role: str = "policy", scalar: bool = False) -> Model:
    return Model(
        role=role,
        shape=known.shape(config.model),
        head="scalar" if scalar else "language",
        trained=True,
        lora_r=config.lora_r,
    )


def scorers(known: Known, named: Mapping[str, str | None]) -> list[Model]:
    """Reward models; an ensemble's members each with weights and a pass of their own."""
    return [
        Model(role=role, shape=known.shape(model), head="scalar")
        for name, said in named.items()
        if said is not None
        for role, model in _members(known, name, said)
    ]


def _members(known: Known, role: str, model: str) -> Iterator[tuple[str, str]]:
    members = known.members(model)
    for k, member in enumerate(members, start=1):
        yield (role if len(members) == 1 else f"{role} ({k} of {len(members)})"), member


def sampled(
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
        micro = batches(lengths, prompts, doubled * config.micro_batch_tokens, model.shape)
        phases.append(forward_pass(f"scoring by {model.role}", (model,), micro, calls))
    return phases


def forward_pass(name: str, models: tuple[Model, ...], cut: Cut, calls: float | None) -> Phase:
    return Phase(name=name, kind="forward", models=models, cut=cut, calls=calls)


def batches(lengths: Lengths, number: int, token_budget: int, shape: Shape) -> Cut:
    """The micro-batches of updates that were drawn: of a middling one, and the largest of all."""
    drawn = [
        cut(lengths.draw(number, seed), token_budget, shape.layout)
        for seed in range(SIMULATED_UPDATES)
    ]
    drawn.sort(key=lambda one: sum(batch.positions for batch in one))
    largest = max((b for one in drawn for b in one), key=lambda b: b.positions)
    return Cut(typical=tuple(drawn[len(drawn) // 2]), largest=largest)
