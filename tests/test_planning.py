"""Planning: sizes without weights, memory line by line, micro-batches, and what is said of it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers as hf
from typer.testing import CliRunner

from benchmarks.planning import LAYOUTS, count_kept, kept_bytes
from plaudit.artifacts import Draft
from plaudit.cli import app
from plaudit.models import AdapterRoles, model_path
from plaudit.models.products import multiplies_bfloat16
from plaudit.native import library
from plaudit.pipeline import Step
from plaudit.planning import Stated, plan_steps, step_of_stage, steps_of_recipe
from plaudit.planning.advice import ways
from plaudit.planning.arithmetic import pass_flops, phase_flops, sampling_flops
from plaudit.planning.calibration import MeasuredClock
from plaudit.planning.coefficients import KEPT, KEPT_BY_KERNELS, PAGES_ROOM
from plaudit.planning.devices import GPUS, Placement, device_of
from plaudit.planning.known import Known
from plaudit.planning.memory import kept_bytes as planned_kept_bytes
from plaudit.planning.memory import peak_memory
from plaudit.planning.rows import MicroBatch, Row, cut
from plaudit.planning.shapes import Shape, count, shape_of
from plaudit.planning.show import explanation, quantity
from plaudit.planning.stages import work_of
from plaudit.planning.timing import PaperClock
from plaudit.planning.work import Model, Phase, Sampling
from plaudit.scoring import Ensemble
from tests.tiny import FAMILIES, tiny_language_model, tiny_scalar_model

HERE = Path(__file__).parent.parent
FOUR_MODELS = HERE / "examples" / "four_models.yaml"
H100 = Placement(device=device_of("h100"))
PUBLISHED_PARAMETERS = {
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
    "meta-llama/Llama-3.1-70B": 70_553_706_496,
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen2.5-72B": 72_706_203_648,
    "Qwen/Qwen3-0.6B": 596_049_920,
}


@pytest.fixture(scope="module")
def llama() -> Shape:
    return count(tiny_language_model("llama").config, name="tiny", said="a test")


@pytest.mark.parametrize("name", PUBLISHED_PARAMETERS)
def test_published_sizes_have_the_published_parameters(name: str) -> None:
    assert shape_of(name).parameters == PUBLISHED_PARAMETERS[name]


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "mamba"])
def test_a_model_is_counted_as_it_is_built(family: str) -> None:
    model = tiny_language_model(family)
    shape = count(model.config, name=family, said="a test")
    assert shape.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "mistral", "gpt_neox"])
def test_a_scalar_model_and_an_adapter_are_counted_as_they_are_built(family: str) -> None:
    shape = count(tiny_language_model(family).config, name=family, said="a test")
    scalar = tiny_scalar_model(family)
    assert shape.scalar_parameters == sum(p.numel() for p in scalar.parameters())
    roles = AdapterRoles(tiny_language_model(family), ["policy"], r=2, alpha=4, seed=0)
    learned = sum(p.numel() for p in roles.parameters("policy").values())
    assert Model(role="policy", shape=shape, trained=True, lora_r=2).learned == learned


def test_a_model_without_sizes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"no published sizes; did you mean Qwen/Qwen2\.5-7B"):
        shape_of("Qwen/Qwen2.5-7C")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_coefficients_are_what_autograd_keeps(precision, layout) -> None:
    """Counted over the forward pass as it stands: when that changes, so must the table."""
    counted = count_kept(hf.LlamaConfig, precision, layout)
    used = KEPT_BY_KERNELS[precision] if library() else KEPT[precision, True]
    for name in ("hidden", "query", "key", "inner", "pair")[: 5 if layout == "tree" else 4]:
        assert getattr(counted, name) == pytest.approx(getattr(used, name), abs=0.6), name


@pytest.mark.parametrize(("family", "precision"), [("llama", "float32"), ("qwen3", "bfloat16")])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_kept_bytes_of_a_whole_model(family: str, precision, layout) -> None:
    """But for what a row has once: ids, rotations, the mask and the last norm."""
    config = tiny_language_model(family).config
    shape = count(config, name=family, said="a test")
    row = Row(prompt=32, responses=(16, 16), written=32)
    [batch] = cut([row], 64, layout)
    found = kept_bytes(config, precision, 64, layout)
    assert planned_kept_bytes(shape, batch, precision, on_this_cpu=True) == pytest.approx(
        found, rel=0.12
    )


def test_micro_batches_are_those_of_the_learner() -> None:
    rows = [Row.alike(10, 5, 2), Row.alike(30, 10, 1), Row.alike(18, 1, 2)]
    longest, rest = cut(rows, 40, "tree")
    assert (longest.rows, longest.longest, longest.branched) == (1, 40, False)
    assert (rest.rows, rest.longest, rest.written, rest.branched) == (2, 20, 12, True)
    assert rest.positions == 40 and rest.pairs == rest.masked_pairs == 800
    [packed] = cut(rows, 80, "packed")
    assert (packed.positions, packed.masked_pairs) == (80, 0)
    apart = cut([Row.alike(10, 5, 2)], 30, "rows")
    assert [(b.rows, b.longest, b.branched) for b in apart] == [(2, 15, False)]


def test_flops_by_hand(llama: Shape) -> None:
    """Weights of a layer: q 32x32, k and v 32x16, o 32x32, three of 32x48; three layers."""
    weights = 3 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48)
    assert llama.matrix_parameters == weights
    batch = MicroBatch(rows=2, longest=10, written=7, branched=True, sample=())
    backbone = 2 * weights * 20 + 4 * 32 * 3 * 200
    head = 2 * 32 * 64 * 7
    policy = Model(role="policy", shape=llama, trained=True)
    assert pass_flops(policy, batch, backward=False) == backbone + head
    assert pass_flops(policy, batch, backward=True) == 3 * (backbone + head)
    assert pass_flops(replace(policy, lora_r=2), batch, backward=True) == 2 * (backbone + head)
    plain = replace(batch, branched=False)
    critic = replace(policy, head="scalar")
    assert pass_flops(critic, plain, backward=False) == 2 * weights * 20 + 4 * 32 * 3 * 100
    sampling = Sampling(
        prompts=2, responses=3, prompt_tokens=10, response_tokens=4, slots=4, longest=14
    )
    seen = 2 * 10**2 / 2 + 24 * 12
    expected = 2 * weights * (20 + 24) + 4 * 32 * 3 * seen + 2 * 32 * 64 * 24
    assert sampling_flops(policy, sampling) == expected
    assert sampling.active == 4 and sampling.decoding_steps == 6
    assert sampling.active_by_prompt == [range(3), range(3, 4)]


def test_the_four_model_problem() -> None:
    """Four models of 70 billion parameters: 560 GB in 16 bit, before anything is learned."""
    steps = steps_of_recipe(FOUR_MODELS, [])
    known = Known(steps=steps, stated=Stated())
    work = work_of("rl", steps[1].config, known)
    assert work is not None
    assert [model.role for model in work.models] == [
        "policy",
        "reference",
        "critic",
        "reward_model",
    ]
    memory = peak_memory(work, H100)
    lines = {line.what: line.bytes for line in memory.lines}
    weights = sum(b for what, b in lines.items() if what.startswith("weights"))
    assert weights == 2 * (2 * 70_553_706_496 + 2 * 69_503_041_536)
    assert lines["masters of the policy"] == 4 * 70_553_706_496
    assert lines["Adam's moments of the critic"] == 8 * 69_503_041_536
    assert lines["gradients of the critic"] == 4 * 69_503_041_536
    assert lines["logits"] == 2**25 // 128_256 * 128_256 * 2 * 2
    assert memory.peak_bytes == sum(lines.values())


@pytest.mark.skipif(library() is None, reason="no compiler")
def test_kernels_sample_from_a_copy_of_the_weights() -> None:
    few = ["lora_r=16", "gradient_checkpointing=true", "sampling_slots=4"]
    steps = steps_of_recipe(FOUR_MODELS, [f"steps.ppo.{option}" for option in few])
    work = work_of("rl", steps[1].config, Known(steps=steps, stated=Stated()))
    assert work is not None
    here = peak_memory(work, Placement(device=device_of("cpu")))
    [copied] = [x for x in here.passing if x.what == "weights as kernels read them"]
    embedded = 128_256 * 8192
    factor = 2 if multiplies_bfloat16() else 4
    assert copied.bytes == factor * (70_553_706_496 - embedded - (2 * 80 + 1) * 8192)
    assert copied.what not in {line.what for line in peak_memory(work, H100).lines}


SAMPLING = ["steps.ppo.lora_r=16", "steps.ppo.gradient_checkpointing=true"]
"""With which sampling is the peak: an update holds less than its keys and values."""


def _peak_lines(placement: Placement, overrides: list[str]) -> dict[str, float]:
    steps = steps_of_recipe(FOUR_MODELS, overrides)
    work = work_of("rl", steps[1].config, Known(steps=steps, stated=Stated()))
    assert work is not None
    return {line.what: line.bytes for line in peak_memory(work, placement).lines}


def test_keys_and_values_stand_while_sampling_and_no_longer() -> None:
    name = "keys and values of the sampler"
    held = 64 * 1024 + 256 * 1024  # a prompt's keys once for its four responses
    assert _peak_lines(H100, SAMPLING)[name] == held * 2 * 80 * 1024 * 2 * PAGES_ROOM
    assert name not in _peak_lines(H100, [])


def test_slots_are_each_devices_own() -> None:
    sampling = Sampling(
        prompts=512, responses=1, prompt_tokens=512, response_tokens=512, slots=64, longest=1024
    )
    phase = Phase(
        name="sampling", kind="sample", sampling=sampling, calls=1,
        models=(Model(role="policy", shape=shape_of("Qwen/Qwen2.5-7B")),),
    )  # fmt: skip
    one, four = (PaperClock(replace(H100, gpus=gpus)).seconds(phase, "bfloat16") for gpus in (1, 4))
    assert one == pytest.approx(4 * four, rel=0.01)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("device", GPUS)
def test_no_sampling_is_faster_than_its_arithmetic(device: str, precision) -> None:
    sampling = Sampling(
        prompts=1024, responses=1, prompt_tokens=128, response_tokens=128, slots=1024, longest=256
    )
    phase = Phase(
        name="sampling", kind="sample", sampling=sampling, calls=1,
        models=(Model(role="policy", shape=shape_of("Qwen/Qwen2.5-7B")),),
    )  # fmt: skip
    seconds = PaperClock(Placement(device=device_of(device))).seconds(phase, precision)
    assert phase_flops(phase) / seconds < GPUS[device].flops_per_s[precision]


def test_a_part_of_a_call_is_not_told_as_none() -> None:
    assert [quantity(count) for count in (0.25, 7.0, 36.0, 1500.0)] == ["0.25", "7", "36", "1.5 k"]


def test_shards_divide_what_stands_and_not_what_passes() -> None:
    steps = steps_of_recipe(FOUR_MODELS, [])
    work = work_of("rl", steps[1].config, Known(steps=steps, stated=Stated()))
    assert work is not None
    one, many = (
        {line.what: line.bytes for line in peak_memory(work, placement).lines}
        for placement in (H100, replace(H100, gpus=8, sharding="fsdp"))
    )
    assert many["weights of the policy"] == one["weights of the policy"] / 8
    assert many["activations of the policy"] == one["activations of the policy"]
    assert "gathered weights of the policy" in many.keys() - one.keys()


def test_adapters_share_one_backbone() -> None:
    steps = steps_of_recipe(FOUR_MODELS, ["steps.ppo.lora_r=16"])
    work = work_of("rl", steps[1].config, Known(steps=steps, stated=Stated()))
    assert work is not None
    policy, critic, reward = work.models
    assert policy.weights == 70_553_706_496 + policy.learned
    assert critic.weights == critic.learned == policy.learned + 8192
    assert (reward.learned, reward.weights) == (0, 69_503_041_536)


def test_a_reward_adapter_on_the_policys_backbone_has_no_weights_of_its_own(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"output: {tmp_path / 'run'}\n"
        "steps:\n"
        "  sft: {model: plaudit/nano, dataset: org/chats, device: cuda}\n"
        '  reward: {model: "${sft}", dataset: org/pairs, lora_r: 8, device: cuda}\n'
        '  rl: {model: "${sft}", dataset: org/pairs, max_steps: 1, lora_r: 16,\n'
        '       reward_model: "${reward}"}\n'
    )

    def reward_weights(*said: str) -> int:
        steps = steps_of_recipe(recipe, said)
        work = work_of("rl", steps[2].config, Known(steps=steps, stated=Stated(rows=10)))
        assert work is not None
        return work.models[-1].weights

    shape = shape_of("plaudit/nano")
    adapter = 8 * shape.adapter_ends + shape.hidden_size
    assert reward_weights() == adapter
    sft, reward, _ = steps_of_recipe(recipe, [])
    _write_model(sft)
    _write_model(reward, model=sft.output)
    assert reward_weights() == adapter, "read from what lies there"
    apart = ("steps.reward.lora_r=0", "steps.rl.lora_r=0", "steps.reward.model=plaudit/nano")
    for said in apart:
        assert reward_weights(said) > shape.counted("scalar") - 1, said


@pytest.mark.parametrize("lora_r", [0, 16])
def test_layers_computed_again_keep_less_and_cost_a_pass_more(lora_r: int) -> None:
    asked = [f"steps.ppo.lora_r={lora_r}"] if lora_r else []
    kept, again = (
        _update_of_ppo([*asked, f"steps.ppo.gradient_checkpointing={said}"])
        for said in ("false", "true")
    )
    assert again[0] < 0.1 * kept[0]
    passes = 2 if lora_r else 3
    assert again[1] / kept[1] == pytest.approx((passes + 1) / passes, rel=0.03), "less the head"


def _update_of_ppo(options: list[str]) -> tuple[float, float]:
    """Bytes that autograd keeps of the policy, and operations of the update."""
    steps = steps_of_recipe(FOUR_MODELS, options)
    work = work_of("rl", steps[1].config, Known(steps=steps, stated=Stated()))
    assert work is not None
    [update] = [phase for phase in work.phases if phase.name == "update"]
    passing = peak_memory(replace(work, phases=(update,)), H100).passing
    [activations] = [line for line in passing if line.what.startswith("activations")]
    return activations.bytes, phase_flops(update)


def test_ways_out_are_reckoned_by_the_same_arithmetic() -> None:
    steps = steps_of_recipe(FOUR_MODELS, [])
    known = Known(steps=steps, stated=Stated())
    found = ways(steps[1], known, H100)
    adapted = next(way for way in found if way.change == "lora_r=16")
    other = steps_of_recipe(FOUR_MODELS, ["steps.ppo.lora_r=16"])
    work = work_of("rl", other[1].config, Known(steps=other, stated=Stated()))
    assert work is not None
    assert adapted.peak_bytes == peak_memory(work, H100).peak_bytes and not adapted.fits
    enough = [way for way in found if way.fits]
    assert enough and all("--gpus" in way.change for way in enough)
    assert all(way.peak_bytes <= H100.device.usable_bytes for way in enough)
    fewest = int(enough[0].change.split("--gpus ")[1].split(",")[0])
    one_less = replace(H100, gpus=fewest - 1, sharding="fsdp")
    saving = steps_of_recipe(FOUR_MODELS, ["steps.ppo.gradient_checkpointing=true"])
    work = work_of("rl", saving[1].config, Known(steps=saving, stated=Stated()))
    assert work is not None
    assert peak_memory(work, one_less).peak_bytes > H100.device.usable_bytes


def test_what_a_stage_refuses_is_no_part_of_all_together() -> None:
    asked = [
        "model=Qwen/Qwen2.5-3B", "dataset=org/x", "moving_reference={ref_model_sync_steps: 10}",
        "max_length=16384",
    ]  # fmt: skip
    steps = step_of_stage("preference", asked, None)
    found = ways(steps[0], Known(steps=steps, stated=Stated()), H100)
    assert not any("lora_r" in way.change for way in found)
    assert any(
        way.fits for way in found if way.change == "precision=bfloat16, gradient_checkpointing=true"
    )


def test_what_does_not_fit_here_is_not_timed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MeasuredClock, "seconds", lambda *_: pytest.fail("it was timed"))
    small = replace(device_of("cpu"), memory_bytes=8e9)
    steps = step_of_stage("sft", ["model=Qwen/Qwen2.5-7B", "dataset=org/x"], None)
    plan = plan_steps(steps, Placement(device=small), stated=Stated(rows=100))
    assert not plan.steps[0].fits and plan.steps[0].seconds is None
    assert plan.steps[0].flops is not None
    assert "  time: not measured, for the step does not fit here" in explanation(plan.steps[0])


def test_evaluate_holds_its_baseline_beside_the_policy_that_answers() -> None:
    asked = [
        "baseline=Qwen/Qwen2.5-7B-Instruct", "policies={tuned: Qwen/Qwen2.5-7B}",
        "judge=Qwen/Qwen2.5-0.5B", "dataset=org/x",
    ]  # fmt: skip
    steps = step_of_stage("evaluate", asked, None)
    plan = plan_steps(steps, H100, stated=Stated(rows=1000)).steps[0]
    assert plan.work is not None and plan.memory is not None
    assert [m.role for m in plan.work.models] == ["baseline", "reference", "judge"]
    assert [p.phase.name for p in plan.phases].count("reference") == 2
    kept = [line for line in plan.memory.lines if line.what.startswith("keys")]
    assert len(kept) == 1, "one policy answers at a time"
    [sampling, *_] = [p.phase.sampling for p in plan.phases if p.phase.sampling]
    assert sampling.prompts == 1000, "all are asked in one call"


def test_more_gpus_take_less_time_until_they_have_no_rows() -> None:
    steps = steps_of_recipe(FOUR_MODELS, [])
    seconds = []
    for gpus in (8, 16, 32, 128):
        placement = replace(H100, gpus=gpus, sharding="fsdp")
        ppo = plan_steps(steps, placement).steps[1]
        seconds.append(next(p.seconds for p in ppo.phases if p.phase.name == "update"))
    assert seconds[0] > 1.9 * seconds[1] > 3.6 * seconds[2]
    assert seconds[3] == pytest.approx(seconds[2], rel=0.1), "32 micro-batches for 128 GPUs"


def test_data_on_disk_is_tokenised_and_the_rest_is_said_to_be_stated() -> None:
    told = ["model=plaudit/nano", "dataset=plaudit/coffee-bar/dialogues.jsonl.gz"]
    steps = step_of_stage("sft", [*told, "portion=[0.0,0.06]"], None)
    work = work_of("sft", steps[0].config, Known(steps=steps, stated=Stated()))
    assert work is not None and work.lengths.count
    assert "rows tokenised" in work.lengths.said
    assert work.steps == -(-work.lengths.count // 32)
    elsewhere = step_of_stage("sft", ["model=plaudit/nano", "dataset=org/chats"], None)
    known = Known(steps=elsewhere, stated=Stated(prompt_tokens=100, response_tokens=50))
    assumed = work_of("sft", elsewhere[0].config, known)
    assert assumed is not None and assumed.steps is None
    assert assumed.lengths.rows == (Row.alike(100, 50),)
    assert "as stated" in assumed.lengths.said


def test_data_that_a_step_is_yet_to_write_is_expected_of_that_step() -> None:
    recipe = HERE / "src" / "plaudit" / "recipes" / "raft.yaml"
    steps = steps_of_recipe(recipe, ["output=runs/never"])
    known, by_name = Known(steps=steps, stated=Stated()), {step.name: step for step in steps}
    sample, raft = (
        work_of(step.stage, step.config, known) for step in (by_name["sample"], by_name["raft"])
    )
    assert sample is not None and raft is not None
    assert raft.lengths.count == sample.lengths.count and raft.steps
    assert raft.lengths.said.startswith("what sample may write at most, 1 of a prompt")
    assert {len(row.responses) for row in raft.lengths.rows} == {1}


def test_each_member_of_an_ensemble_stands_in_memory_and_scores(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"output: {tmp_path / 'run'}\n"
        "steps:\n"
        "  a: {stage: reward, model: Qwen/Qwen2.5-0.5B, dataset: org/pairs}\n"
        "  b: {stage: reward, model: Qwen/Qwen2.5-7B, dataset: org/pairs}\n"
        '  both: {stage: ensemble, models: ["${a}", "${b}"]}\n'
        "  rl: {model: Qwen/Qwen2.5-0.5B, dataset: org/pairs, max_steps: 1,\n"
        '       reward_model: "${both}"}\n'
    )
    steps = steps_of_recipe(recipe, [])
    for member, name in zip(steps[:2], ("0.5B", "7B"), strict=True):
        known = Known(steps=steps, stated=Stated())
        assert known.shape(str(member.output)).name == f"Qwen/Qwen2.5-{name}"
    plan = plan_steps(steps, H100, stated=Stated(rows=100)).steps[-1]
    assert plan.work is not None and plan.memory is not None
    members = [model for model in plan.work.models if model.role.startswith("reward")]
    assert [m.role for m in members] == ["reward_model (1 of 2)", "reward_model (2 of 2)"]
    assert members[1].weights > 10 * members[0].weights
    assert sum(p.phase.name.startswith("scoring by reward") for p in plan.phases) == 2
    # A critic begins from the first.
    ppo = steps_of_recipe(recipe, ["steps.rl.algorithm=ppo"])
    work = work_of("rl", ppo[-1].config, Known(steps=ppo, stated=Stated(rows=100)))
    assert work is not None
    [critic] = [model for model in work.models if model.role == "critic"]
    assert critic.shape.name == "Qwen/Qwen2.5-0.5B"


def test_an_ensemble_on_disk_is_planned_by_its_members(tmp_path: Path) -> None:
    place = tmp_path / "both"
    for member in (".", "members/0", "members/1"):
        shutil.copytree(model_path("plaudit/nano"), place / member, dirs_exist_ok=True)
    Ensemble(members=("members/0", "members/1"), combine="mean").write(place)
    found = Known(steps=(), stated=Stated()).members(str(place))
    assert found == (str(place / "members/0"), str(place / "members/1"))


def test_what_is_unknown_is_said_to_be() -> None:
    asked = ["plan", str(FOUR_MODELS), "--device", "h100", "--json"]
    found = json.loads(CliRunner().invoke(app, asked).stdout)
    reward, ppo = found["steps"]
    assert reward["seconds"] is None and reward["data"]["rows"] is None
    assert ppo["seconds"] > 0 and not ppo["fits"]
    assert ppo["peak_bytes"] == pytest.approx(sum(line["bytes"] for line in ppo["memory"]))
    assert (found["all"]["seconds"], found["all"]["fits"]) == (None, False)
    assert found["all"]["peak_bytes"] == max(reward["peak_bytes"], ppo["peak_bytes"])
    assert "lora_r=16" in [way["change"] for way in ppo["ways"]]


def test_a_recipe_for_a_gpu_is_planned_where_there_is_none(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "output: runs/x\nsteps:\n  sft:\n    model: Qwen/Qwen2.5-7B\n    dataset: org/chats\n"
        "    device: cuda\n  report: {title: t, evaluation: '${sft}', stages: {}}\n"
    )
    said = ["plan", str(recipe), "--device", "a100-40", "--price-per-hour", "2", "--rows", "1000"]
    shown = CliRunner().invoke(app, said)
    assert shown.exit_code == 0, shown.output
    assert "not reckoned" in shown.stdout and "it does not fit" in shown.stdout
    assert "lora_r=16" in shown.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "h1000"], "h1000: not known; did you mean h100?"),
        (["--gpus", "2"], "say which with --device"),
        (["--device", "h100", "--sharding", "zero"], "expected none or fsdp"),
        (["--device", "h100", "--sharding", "fsdp"], "say how many with --gpus"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: list[str], message: str) -> None:
    found = CliRunner().invoke(app, ["plan", str(FOUR_MODELS), *options])
    assert isinstance(found.exception, ValueError)
    assert message in str(found.exception)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (["sft", "model=Qwen/Qwen2.5-7B", "dataset=no.jsonl"], "dataset: no.jsonl: no such file"),
        (["sft", "model=Qwen/Qwen2.5-7B", "dataset=org/x", "device=tpu"], "device: tpu: no device"),
        ([str(FOUR_MODELS), "steps.ppo.device=tpu"], "steps.ppo.device: tpu: no device"),
    ],
)
def test_what_could_not_run_is_not_planned(said: list[str], message: str) -> None:
    found = CliRunner().invoke(app, ["plan", *said, "--device", "h100"])
    assert isinstance(found.exception, ValueError) and message in str(found.exception)


def test_a_device_on_the_command_line_is_laid_aside_too() -> None:
    said = ["plan", str(FOUR_MODELS), "steps.ppo.device=cuda", "--device", "h100"]
    assert CliRunner().invoke(app, said).exit_code == 0


def test_steps_that_are_a_list_are_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("output: runs/x\nsteps: [1, 2]\n")
    found = CliRunner().invoke(app, ["plan", str(recipe)])
    assert isinstance(found.exception, ValueError) and "r.yaml: steps" in str(found.exception)


def test_what_to_say_of_the_unknown_is_told() -> None:
    said = ["plan", "sft", "model=Qwen/Qwen2.5-7B", "dataset=org/x", "--device", "h100"]
    assert (
        "unknown: how many rows sft will have; say --rows N" in CliRunner().invoke(app, said).output
    )
    assert "say --rows" not in CliRunner().invoke(app, [*said, "--rows", "10"]).output


@pytest.mark.parametrize("option", ["--rows", "--prompt-tokens", "--response-tokens", "--gpus"])
def test_numbers_below_one_are_refused(option: str) -> None:
    found = CliRunner().invoke(app, ["plan", str(FOUR_MODELS), "--device", "h100", option, "0"])
    assert found.exit_code == 2 and option in found.output


def test_what_takes_its_time_is_said_beside_the_plan() -> None:
    told = ["plan", "sft", "model=plaudit/nano", "dataset=plaudit/coffee-bar/dialogues.jsonl.gz",
            "portion=[0.0,0.02]", "batch_size=4", "--json"]  # fmt: skip
    found = CliRunner().invoke(app, told)
    assert found.stderr.startswith("timing a few layers of each model on this machine")
    assert json.loads(found.stdout)["steps"]
    found = CliRunner().invoke(app, [*told, "--device", "h100"])
    assert not found.stderr and json.loads(found.stdout)["steps"]


def test_this_machine_is_timed_with_slices_of_the_model() -> None:
    torch.manual_seed(0)
    told = ["model=plaudit/nano", "dataset=plaudit/coffee-bar/dialogues.jsonl.gz"]
    steps = step_of_stage("sft", [*told, "portion=[0.0,0.02]", "batch_size=4"], None)
    [plan] = plan_steps(steps, Placement(device=device_of("cpu"))).steps
    assert plan.seconds is not None and 0 < plan.seconds < 600
    assert plan.fits and plan.memory is not None and plan.memory.peak_bytes > 400e6


def test_a_busy_machine_is_said_beside_its_timings() -> None:
    """Two processes with two threads each on two cores were timed at 25 times their time alone."""
    cores = os.cpu_count() or 1
    assert f"a load of {2 * cores}.0 on {cores} cores" in MeasuredClock(load=2.0 * cores).said
    assert "load" not in MeasuredClock(load=0.0).said


def test_what_other_options_wrote_is_no_model_of_this_plan(tmp_path: Path) -> None:
    """A run with a small model, then a plan for a large one over the same folder."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"output: {tmp_path / 'run'}\n"
        "variables: {model: plaudit/nano}\n"
        "steps:\n"
        '  sft: {model: "${model}", dataset: org/chats, device: cuda}\n'
        '  reward: {model: "${sft}", dataset: org/pairs}\n'
        '  rl: {model: "${sft}", reward_model: "${reward}", dataset: org/pairs, max_steps: 1}\n'
    )
    small = steps_of_recipe(recipe, [])
    for step in small[:2]:
        _write_model(step)
    large = steps_of_recipe(recipe, ["variables.model=Qwen/Qwen2.5-0.5B"])
    for steps, name, said in (
        (small, str(small[0].output), "its config.json"),
        (large, "Qwen/Qwen2.5-0.5B", "published sizes"),
    ):
        known = Known(steps=steps, stated=Stated())
        assert known.shape(str(steps[0].output)).name == name
        assert known.shape(str(steps[1].output)).said == said


def test_a_stage_is_planned_that_begins_with_an_artifact_of_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = ["model=runs/sft", "dataset=org/chats"]
    (step,) = step_of_stage("sft", told, None)
    _write_model(replace(step, output=Path("runs/sft")))
    assert Known(steps=(step,), stated=Stated()).shape("runs/sft").parameters


def _write_model(step: Step, **inputs: Path) -> None:
    """An artifact as the step writes it, on a GPU, with a model of nano's sizes."""
    config = step.config.model_dump(mode="json") | {"device": "cuda"}
    draft = Draft.open(step.output, stage=step.stage, config=config, inputs=inputs)
    shutil.copytree(model_path("plaudit/nano"), draft.path / "model")
    if config.get("lora_r"):
        (draft.path / "adapter").mkdir()
    draft.finish({})
