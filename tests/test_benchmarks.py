"""The benchmarks' harness: what a side reports, that sides do the same work, and the table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import making, plaudit_side, runner, suite, workload
from benchmarks.flops import least_flops, matrix_parameters
from benchmarks.ledger import Ledger
from benchmarks.measured import Measured, report
from benchmarks.results import Row, differing, median, ratio, section
from benchmarks.run import one_side, parse, work_of
from benchmarks.runner import PROBE, Case, Runner, Setting, run_json
from benchmarks.sections import line, write_section
from benchmarks.suite import cases
from benchmarks.workload import MODELS, Files, Lengths, Shape, Work, groups, sampling_stops

KEYS = {
    "side", "task", "model", "data", "precision", "device", "generations", "steps",
    "examples_per_s", "tokens_per_s", "least_tflop_per_s", "peak_rss_mb", "rss_before_mb",
    "first_losses", "step_seconds", "settings",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The toy model with synthetic data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workload, "RUNS", tmp_path_factory.mktemp("runs"))
        patch.setattr(making, "ROWS", {"short": 48, "long": 4})
        return Files(making.make(Work(task="sft", model="toy")))


def toy(task: str, **more) -> Work:
    return Work(task=task, model="toy", steps=2, examples=4, **more)  # pyright: ignore


@pytest.fixture
def placed(made: Files, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setattr(workload, "RUNS", made.directory.parent)
    return made


def test_a_side_reports_its_line(placed: Files) -> None:
    work = toy("dpo")
    found = json.loads(json.dumps(one_side(work, "plaudit", "")))
    assert found.keys() == KEYS
    assert len(found["first_losses"]) == len(found["step_seconds"]) == 2
    assert found["first_losses"][0] == pytest.approx(0.6931, abs=1e-4)
    assert found["settings"]["data"]["source"] == "synthetic"


def test_the_side_learns_from_the_rows_of_the_work(placed: Files) -> None:
    """What a peer is given by row numbers is what our stages make of the same files."""
    for task, responses in (("sft", 1), ("reward", 2)):
        work = toy(task)
        measured = plaudit_side.run(work, placed, "")
        lengths = placed.lengths()
        assert measured.lengths == [
            [
                Lengths(lengths[row].prompt, lengths[row].responses[:responses])
                for row in work.batch(step, len(lengths))
            ]
            for step in range(2)
        ]


def test_rows_begin_again_at_the_end_of_the_file() -> None:
    work = toy("sft")
    assert work.batch(1, 6) == [4, 5, 0, 1]
    assert work.order(6) == [0, 1, 2, 3, 4, 5, 0, 1]
    assert toy("grpo", generations=2).batch(1, 6) == [2, 3]
    assert groups("abc", [2, 0], 2) == [["c", "a"], ["a", "b"]]


def test_options_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="generations: dpo has none"):
        toy("dpo", generations=8)
    with pytest.raises(ValueError, match="multiple of the 3 responses"):
        toy("grpo", generations=3)
    with pytest.raises(ValueError, match="at least one must be counted"):
        toy("sft", warmup_steps=2)


def test_rates_leave_out_the_warm_up() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Files, "about", property(lambda _: {}))
        measured = Measured(settings={})
        measured.add(100.0, 3.0, [Lengths(1000, (1000,))])
        measured.add(2.0, 2.5, [Lengths(10, (4, 6))])
        found = report(toy("dpo"), "plaudit", measured)
    assert (found["examples_per_s"], found["tokens_per_s"]) == (2.0, 10.0)
    assert found["first_losses"] == [3.0, 2.5]


def test_least_arithmetic_by_hand() -> None:
    shape = Shape(
        vocab_size=10, hidden_size=4, intermediate_size=3,
        num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
    )  # fmt: skip
    keys, rest = 2 * 4 * 2, 2 * 4 * 4 + 3 * 4 * 3
    assert matrix_parameters(shape) == 2 * (keys + rest) == 168
    by_prompt, by_responses = 1 + 2 + 3, (4 + 5) + 4  # a prompt of 3, responses of 2 and 1
    first = 2 * (keys + rest) * 6 + 4 * 4 * (by_prompt + by_responses)
    last = 2 * (keys * 6 + rest * 3) + 4 * 4 * by_responses
    backbone = first + last
    head = 2 * 4 * 10 * 3
    lengths = [Lengths(3, (2, 1))]
    assert least_flops("sft", shape, lengths) == 3 * (backbone + head)
    assert least_flops("dpo", shape, lengths) == 4 * (backbone + head)
    ends = 2 * (keys * 6 + rest * 2) + 4 * 4 * ((3 + 2) + (3 + 1))
    assert least_flops("reward", shape, lengths) == 3 * (first + ends)
    assert least_flops("score", shape, lengths) == first + ends
    assert (
        least_flops("ppo", shape, lengths) == 14 * (backbone + head) + 13 * backbone + first + ends
    )


def test_sampling_stops_are_few_and_the_same_everywhere() -> None:
    stops = sampling_stops(MODELS["6m"].vocab_size, 2)
    assert stops[0] == 2 and len(set(stops)) == len(stops) == 43
    assert stops == sampling_stops(MODELS["6m"].vocab_size, 2)


def side(*rates: float, losses: tuple[float, ...] = (2.0, 1.0), memory: float = 100.0) -> list:
    return [
        {
            "examples_per_s": rate, "tokens_per_s": 10 * rate, "least_tflop_per_s": rate / 100,
            "peak_rss_mb": memory, "first_losses": list(losses),
            "settings": {"threads": 2, "gpu": "", "data": {
                "source": "synthetic", "prompt_tokens": 120.0, "response_tokens": 50.0, "rows": 9,
            }},
        }
        for rate in rates
    ]  # fmt: skip


def row(ours: list, theirs: list, *, sampled: bool = False) -> Row:
    return Row(
        case="dpo, 6m, short, float32", precision="float32", sampled=sampled, peer="trl, float32",
        ours=ours, theirs=theirs, peaks=[0.5] * len(ours),
    )  # fmt: skip


def test_medians_and_ratios_of_given_numbers() -> None:
    """A slow turn slows both sides: the ratio is within turns, not of the medians."""
    ours, theirs = side(10.0, 4.0, 12.0), side(5.0, 1.0, 4.0, memory=200.0)
    assert median(ours, "examples_per_s") == 10.0
    assert ratio(ours, theirs, "examples_per_s") == 3.0
    shown = line(row(ours, theirs).cells())
    assert "| 10.0 | 4.0 | 3.00 | 100 | 40.0 | 20 % | 8 % | 100 | 200 | 0.50 |" in shown


def test_on_a_device_its_own_memory_is_shown() -> None:
    ours, theirs = side(10.0), side(5.0)
    for report_, mb in ((ours[0], 30.0), (theirs[0], 60.0)):
        report_["peak_device_mb"] = mb
    assert "| 30.0 | 60.0 | 0.50 |" in line(row(ours, theirs).cells())


def test_losses_must_agree() -> None:
    ours, near, far = side(1.0), side(1.0, losses=(2.001, 1.0)), side(1.0, losses=(2.0, 1.1))
    assert not differing(row(ours, near))
    assert "1 and 1.1" in differing(row(ours, far))
    assert not differing(row(ours, far, sampled=True))
    assert differing(row(ours, side(1.0, losses=(float("nan"), 1.0))))


def first_step(rewards: list[float], kl: float = 0.0) -> list:
    return [side(1.0, losses=(0.3, 0.2))[0] | {"first_rewards": rewards, "first_kl": kl}]


def test_what_several_epochs_sampled_has_one_mean_and_no_kl() -> None:
    """Its losses are means over epochs, and differ with what was sampled."""
    ours = first_step([0.0, 1.0, 0.0, 1.0])
    assert not differing(row(ours, first_step([1.0, 1.0, 0.0, 1.0]), sampled=True))
    assert "0.5 and 3.5" in differing(row(ours, first_step([3.0, 4.0, 3.0, 4.0]), sampled=True))
    drifted = first_step([0.0, 1.0, 0.0, 1.0], kl=0.01)
    assert "KL to the reference is 0 and 0.01" in differing(row(ours, drifted, sampled=True))


def test_the_section_is_written_anew_and_the_rest_stays(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    file.write_text("# Results\n\nbefore\n")
    text = section(
        "Side by side", [row(side(10.0), side(5.0))], ["ppo: no peer"], Path("log.jsonl")
    )
    write_section(file, "suite", "to be written anew")
    write_section(file, "other", "another's")
    write_section(file, "suite", text)
    once = file.read_text()
    write_section(file, "suite", text)
    assert file.read_text() == once
    assert once.startswith("# Results\n\nbefore\n\n<!-- suite -->\n## Side by side\n")
    assert once.endswith(
        "<!-- end of suite -->\n\n<!-- other -->\nanother's\n<!-- end of other -->\n"
    )
    assert "| dpo, 6m, short, float32 | 10.0 | 5.0 | 2.00 |" in once
    assert "- ppo: no peer" in once


def test_a_suite_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "suite" / "rows.jsonl"
    ledger = Ledger.read(file)
    ledger.note_fault("a", "cut off")
    ledger.note_fault("b", "no such thing")
    ledger.note_row("a", row(side(10.0), side(5.0)))
    ledger.note_rate("trl, float32", 2.5)
    again = Ledger.read(file)
    assert (again.rows, again.faults) == (ledger.rows, {"b": "no such thing"})
    assert again.rows["a"] == row(side(10.0), side(5.0)) and again.rates == {"trl, float32": 2.5}
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"key": "c", "ra')
    Ledger.read(file).note_rate("d", 1.0)
    assert file.read_bytes().startswith(whole) and Ledger.read(file).rates["d"] == 1.0


def test_a_peer_is_set_as_is_fastest_for_a_whole_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is fastest in four steps grows slow here; what fails is passed over."""
    briefly = {"weights": 10.0, "weights-by-4": 9.0, "autocast": 8.0, "autocast-by-2": 8.5}
    lasting = {"weights": 3.0, "weights-by-4": 5.0, "autocast-by-2": 6.0}
    tried: list[tuple[str, bool, int]] = []

    def reported(self, _, case: Case, more, setting: Setting) -> dict:
        tried.append((setting.variant, setting.kept, int(more[1])))
        rates = briefly if more == PROBE else lasting
        if setting.variant not in rates:
            return {"failed": "out of memory"}
        return {"examples_per_s": rates[setting.variant] * (1.0 if setting.kept else 0.5)}

    monkeypatch.setattr(Runner, "side", reported)
    ledger = Ledger.read(tmp_path / "rows.jsonl")
    runner = Runner("", "cpu", "", tmp_path / "log.jsonl", ledger)
    case, length = Case("grpo", "6m", "short", "bfloat16", 8, "trl"), ["--steps", "16"]
    assert runner.best(case, length) == Setting("autocast-by-2", kept=True)
    assert ("weights", False, 4) in tried and ("autocast", True, 16) not in tried
    assert sum(steps == 16 for *_, steps in tried) == 3
    before = len(tried)
    again = Runner("", "cpu", "", tmp_path / "log.jsonl", Ledger.read(tmp_path / "rows.jsonl"))
    assert again.best(case, length) == Setting("autocast-by-2", kept=True)
    assert len(tried) == before, "rates are kept"


def test_the_suite_s_cases() -> None:
    options = parse(
        ["--suite", "--models", "30m,6m", "--tasks", "dpo,grpo", "--precisions", "float32"]
    )
    found = list(cases(options))
    assert found[0] == Case("dpo", "6m", "short", "float32", 0, "trl")
    assert [c.generations for c in found if c.task == "grpo"] == [8, 16, 8, 16]
    assert [c.model for c in found] == ["6m"] * 4 + ["30m"] * 4
    for case in found:
        work_of(parse(case.arguments))
    with pytest.raises(ValueError, match="tasks=dop"):
        list(cases(parse(["--suite", "--tasks", "dop"])))
    with pytest.raises(ValueError, match=r"peers=tlr: expected some of trl, generate, vllm"):
        list(cases(parse(["--suite", "--peers", "tlr"])))
    with pytest.raises(ValueError, match=r"repeats=0"):
        suite.run_suite(parse(["--suite", "--repeats", "0"]))


def test_some_cases_alone_leave_the_published_table_as_it_is(
    placed: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "RUNS", tmp_path)
    monkeypatch.setattr(suite, "RESULTS", tmp_path / "RESULTS.md")
    monkeypatch.setattr(suite, "TASKS", ("score",))
    monkeypatch.setattr(suite, "run_case", lambda *_: row(side(10.0), side(5.0)))
    monkeypatch.setattr(suite, "_check_environments", lambda *_: None)
    suite.run_suite(parse(["--suite", "--models", "6m"]))
    assert (tmp_path / "suite.md").is_file() and not (tmp_path / "RESULTS.md").exists()
    suite.run_suite(parse(["--suite"]))
    assert (tmp_path / "RESULTS.md").is_file()


def test_a_variant_says_how_many_rows_go_at_once() -> None:
    assert workload.rows_at_once("padded", "", 128) == 0
    assert workload.rows_at_once("padded-by-32", "32", 128) == 32
    for rows in ("0", "x", "48"):
        with pytest.raises(
            ValueError, match=f"variant=v: expected a divisor of 128 rows, not {rows}"
        ):
            workload.rows_at_once("v", rows, 128)


def test_the_suite_tries_peers_out_and_measures_each_case_once(
    placed: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes are stood in for; TRL is fastest with weights in bfloat16."""
    commands: list[list[str]] = []

    def reported(command: list[str], environment: dict[str, str]) -> dict:
        commands.append(command)
        if command[1].endswith("peak.py"):
            return {"bfloat16": 0.5}
        [found] = side(4.0 if "weights" in command else 2.0)
        found["settings"]["release"] = "trl 1.16.0"
        return found if "autocast-compiled" not in command else {"failed": "no compiler"}

    monkeypatch.setattr(runner, "run_json", reported)
    monkeypatch.setattr(suite, "RUNS", tmp_path)
    (tmp_path / "v-trl" / "bin").mkdir(parents=True)
    (tmp_path / "v-trl" / "bin" / "python").touch()
    results = tmp_path / "RESULTS.md"
    given = ["--suite", "--tasks", "reward", "--models", "toy", "--precisions", "bfloat16"]
    given += ["--venv", str(tmp_path / "v"), "--ledger", str(tmp_path / "rows.jsonl")]
    given += ["--repeats", "2", "--results", str(results)]
    suite.run_suite(parse(given))
    # Variants, the fastest two with fewer rows, the fastest as it comes; turns.
    assert len(commands) == 3 + 2 * 3 + 1 + 2 * 3
    shown = "| reward, toy, short, bfloat16 | 2.0 | 4.0 | 0.50 |"
    peer = "trl 1.16.0, weights, freed memory kept |"
    assert shown in results.read_text() and peer in results.read_text()
    suite.run_suite(parse(given))
    assert len(commands) == 16 and shown in results.read_text()


def test_every_peer_has_its_turn_in_an_environment_of_its_own() -> None:
    given = ["--suite", "--tasks", "sample,ppo", "--models", "6m", "--precisions", "float32"]
    found = list(cases(parse(given)))
    assert [case.peer for case in found] == ["generate", "vllm", "trl"]
    assert [case.python("v") for case in found] == [
        "v-trl/bin/python", "v-vllm/bin/python", "v-trl-ppo/bin/python",
    ]  # fmt: skip
    assert [case.variants[0] for case in found] == ["padded", "compiled", "float32"]
    alone = list(cases(parse([*given, "--peers", "vllm"])))
    assert [(case.task, case.peer) for case in alone] == [("sample", "vllm"), ("ppo", "")]


def test_a_command_that_fails_says_why() -> None:
    found = run_json([sys.executable, "-c", "raise SystemExit('no such thing')"], {})
    assert found == {"failed": "no such thing"}


def test_trl_s_trainers_take_a_step_in_parts() -> None:
    settings = pytest.importorskip("benchmarks.trl_settings")
    work = Work(task="dpo", model="toy", precision="bfloat16", examples=8)
    told = settings.said(work, settings.variant_of("autocast-by-4", work))
    assert (told["per_device_train_batch_size"], told["gradient_accumulation_steps"]) == (4, 2)
    assert told["bf16"] and told["dtype"] == "torch.float32"
    whole = settings.said(work, settings.variant_of("weights", work))
    assert (whole["per_device_train_batch_size"], whole["gradient_accumulation_steps"]) == (8, 1)
    for name in ("autocast-by-3", "float32", "autocast-padding-free", "quick"):
        with pytest.raises(ValueError, match=f"variant={name}"):
            settings.variant_of(name, work)


def test_rows_by_length_come_back_in_their_order() -> None:
    generate = pytest.importorskip("benchmarks.generate_side")
    parts: list[list[int]] = []

    def go_on(prompts: list[list[int]]) -> list[list[int]]:
        parts.append([len(prompt) for prompt in prompts])
        return [[len(prompt)] for prompt in prompts]

    prompts = [[0] * tokens for tokens in (5, 1, 4, 2)]
    assert generate.by_length(go_on, 2)(prompts) == [[5], [1], [4], [2]]
    assert parts == [[1, 2], [4, 5]]
