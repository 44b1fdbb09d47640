"""sample: a model's responses to prompts, scored, and those kept that a rule selects.

Writes ``responses.jsonl``, every response with its score, and ``selected.jsonl``, which the sft or
preference stage reads: so best-of-n distillation, RAFT, ReST, STaR, RSO and iterative DPO are
recipes of this stage and one of those. A run that was cut off goes on after the prompts it saved.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from plaudit.artifacts import CHECKPOINT, Artifact, Draft, write_text
from plaudit.environments import environment_inputs, with_environment
from plaudit.formats import local_inputs
from plaudit.models import load_language_model
from plaudit.records import Prompt
from plaudit.sampling import LocalSampler, SamplingParams, prompts_to_ask, shared_renderer
from plaudit.scoring import open_chosen_scorer
from plaudit.stages.sample_gathering import Candidate, Gathering
from plaudit.stages.sample_options import SampleConfig
from plaudit.stages.sample_rows import kept, rows_of
from plaudit.stages.setup import open_draft
from plaudit.text import Renderer

CONFIG = SampleConfig


def inputs(config: SampleConfig) -> dict[str, Path]:
    named = local_inputs(
        model=config.model, dataset=config.dataset, reward_model=config.reward_model
    )
    return named | environment_inputs(config.environment)


def run(config: SampleConfig, output: Path) -> Artifact:
    began = time.monotonic()
    renderer = shared_renderer(config.model, {})
    prompts, available = prompts_to_ask(config, renderer)
    gathering = _gathering(config, renderer)
    draft = open_draft("sample", config, inputs(config), output, began)
    found: list[list[Candidate]] = []
    for start in range(0, len(prompts), config.save_prompts):
        found += _saved(draft, gathering, prompts[start : start + config.save_prompts], start)
    metrics = _write(draft.path, config, prompts, found)
    return draft.finish({"prompts": len(prompts), "available": available, **metrics})


def _gathering(config: SampleConfig, renderer: Renderer) -> Gathering:
    model = load_language_model(config.model, precision=config.precision, device=config.device)
    scorer = None
    if config.scored:
        scorer = open_chosen_scorer(
            config,
            config.reward_model,
            policy_tokenizer=renderer.tokenizer,
            precision=config.precision,
            token_budget=config.micro_batch_tokens,
            device=config.device,
        )
    engine = LocalSampler(model, renderer, slots=config.sampling_slots)
    return Gathering(
        sampler=with_environment(config.environment, engine, renderer),
        renderer=renderer,
        scorer=scorer,
        num_generations=config.num_generations,
        params=SamplingParams(
            max_tokens=config.max_completion_length,
            temperature=config.temperature,
            seed=config.seed,
        ),
        hint=config.hint,
    )


def _saved(
    draft: Draft, gathering: Gathering, prompts: Sequence[Prompt], start: int
) -> list[list[Candidate]]:
    """The responses to some prompts, from an earlier process where it saved them."""
    file = draft.path / CHECKPOINT / f"prompts-{start:08d}.json"
    if not file.is_file():
        found = gathering.gather(prompts)
        file.parent.mkdir(exist_ok=True)
        write_text(file, json.dumps([[c._asdict() for c in same] for same in found]))
        draft.save_clock()
    rows = json.loads(file.read_text(encoding="utf-8"))
    return [[Candidate(**row) for row in same] for same in rows]


def _write(
    place: Path, config: SampleConfig, prompts: Sequence[Prompt], found: list[list[Candidate]]
) -> dict[str, object]:
    """Both files; what was kept of what, in numbers.

    Raises:
        ValueError: not one response is kept.
    """
    left_out: Counter[str] = Counter()
    responses, selected, kept_from = [], [], 0
    for prompt, candidates in zip(prompts, found, strict=True):
        responses.append({"prompt": prompt.id, "responses": [c.shown() for c in candidates]})
        left_out.update(reason for c in candidates if (reason := c.unusable))
        rows = rows_of(config, prompt, kept(config, prompt, candidates))
        kept_from += bool(rows)
        selected += rows
    if not selected:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in left_out.most_common(3))
        raise ValueError(
            f"select={config.select}: keeps none of {sum(map(len, found))} responses"
            + (f"; left out before: {reasons}" if reasons else "")
        )
    for name, rows in (("responses", responses), ("selected", selected)):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_text(place / f"{name}.jsonl", "".join(lines))
    scores = [c.score for same in found for c in same if c.score is not None]
    mean = {"mean_score": sum(scores) / len(scores)} if scores else {}
    return {
        "responses": sum(map(len, found)),
        "selected": len(selected),
        "prompts_selected": kept_from,
        "left_out": dict(left_out),
        **mean,
    }
