"""Strict options: what YAML means, how overrides lie over it, and that every option is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from plaudit.config import Config, apply_overrides, make_config, nearest, options, read_yaml
from plaudit.pipeline import STAGES, stage_module


class Inner(Config):
    depth: Annotated[int, Field(ge=1)]
    """How deep."""
    width: float = 0.5
    """How wide."""


class Parent(Config):
    rate: Annotated[float, Field(gt=0)]
    """Steps an hour,
    on the whole."""
    name: str = ""
    """What it is called."""


class Outer(Parent):
    """Redeclares the rate for its default only."""

    rate: Annotated[float, Field(gt=0, le=9)] = 1e-05
    kind: Literal["round", "square"]
    """Its shape."""
    bound: Annotated[float, Field(gt=0)] | None = None
    """At most this."""
    inner: Inner | None = None
    """What is inside."""
    always: Parent = Field(default_factory=lambda: Parent(rate=1.0))
    rooms: dict[str, Inner] = Field(default_factory=dict)
    """Rooms by name."""
    pair: tuple[float, float] = (0.0, 1.0)
    """Two numbers."""
    on: bool = False
    """Whether."""


def yaml(tmp_path: Path, text: str) -> dict:
    file = tmp_path / "options.yaml"
    file.write_text(text, encoding="utf-8")
    return read_yaml(file)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1e-4", 1e-4),
        ("1E-4", 1e-4),
        ("+1e3", 1000.0),
        ("-2.5e-3", -2.5e-3),
        ("1.e4", 1e4),
        ("5e-05", 5e-5),
        (".5", 0.5),
        ("1", 1),
        ("1e", "1e"),
        ("e4", "e4"),
        ("1e-4x", "1e-4x"),
        ('"1e-4"', "1e-4"),
        ("org/name:train", "org/name:train"),
        ("[0, 1e-1]", [0, 0.1]),
        ("~", None),
        ("true", True),
    ],
)
def test_yaml_is_read_as_people_mean_it(tmp_path: Path, written: str, meant: object):
    for value in (
        yaml(tmp_path, f"key: {written}")["key"],
        apply_overrides({}, [f"key={written}"])["key"],
    ):
        assert value == meant and type(value) is type(meant)


def test_yaml_keeps_order_merges_anchors_and_may_be_empty(tmp_path: Path):
    read = yaml(tmp_path, "base: &b {x: 1, y: 2}\nnext: {<<: *b, y: 3}\nlast: é # why\n")
    assert list(read) == ["base", "next", "last"]
    assert read["next"] == {"x": 1, "y": 3} and read["last"] == "é"
    assert yaml(tmp_path, "") == {} == yaml(tmp_path, "# nothing yet\n")


def test_overrides_reach_into_groups_and_leave_the_original_alone():
    values = {"inner": {"depth": 1, "width": 2.0}, "empty": None, "rate": 3}
    given = ["inner.depth=5", "empty.x=1", "new.deep.er=a=b", "rate=", "rate=4"]
    merged = apply_overrides(values, given)
    assert merged == {
        "inner": {"depth": 5, "width": 2.0},
        "empty": {"x": 1},
        "new": {"deep": {"er": "a=b"}},
        "rate": 4,
    }
    assert values == {"inner": {"depth": 1, "width": 2.0}, "empty": None, "rate": 3}


def test_defaults_hold_and_nothing_can_be_changed_afterwards():
    made = make_config(Outer, {"kind": "round", "pair": [0, 0.5], "inner": {"depth": 2}}, "here")
    assert (made.rate, made.pair, made.on, made.inner) == (1e-5, (0.0, 0.5), False, Inner(depth=2))
    with pytest.raises(ValidationError, match="frozen"):
        made.rate = 2.0
    with pytest.raises(ValidationError, match="frozen"):
        made.inner.depth = 3  # pyright: ignore[reportOptionalMemberAccess]


def test_a_dumped_config_makes_the_same_config_again():
    made = make_config(Outer, {"kind": "square", "rooms": {"a": {"depth": 1}}, "bound": 2}, "x")
    assert make_config(Outer, json.loads(made.model_dump_json()), "x") == made


def faults(**values: object) -> str:
    with pytest.raises(ValueError) as raised:
        make_config(Outer, {"kind": "round", **values}, "my.yaml")
    message = str(raised.value)
    assert message.startswith("my.yaml: ") and "\n" not in message
    return message.removeprefix("my.yaml: ")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"nmae": 1}, "nmae: no such option; did you mean name?"),
        ({"inner": {"detph": 1, "depth": 1}}, "inner.detph: no such option; did you mean depth?"),
        ({"rooms": {"a": {"depth": 1, "widht": 1}}}, "rooms.a.widht: no such option; did you mean"),
        ({"always": {"rat": 1}}, "always.rate: required, but not given; always.rat: no such opt"),
        ({"inner": {}}, "inner.depth: required, but not given"),
        ({"inner": {"depth": 0}}, "inner.depth: input should be greater than or equal to 1"),
        ({"pair": [1]}, "pair.1: required, but not given"),
        ({"pair": [0, 1, 2]}, "pair: tuple should have at most 2 items"),
        ({"pair": "0 1"}, 'pair: input should be a valid tuple, found "0 1"'),
        ({"rate": True}, "rate: expected float, found true"),
        ({"bound": False}, "bound: expected float > 0 | null, found false"),
        ({"name": True}, "name: expected str, found true"),
        ({"rate": "quick"}, "rate: input should be a valid number"),
        ({"rate": float("nan")}, "rate: input should be a finite number"),
        ({"on": "perhaps"}, "on: input should be a valid boolean"),
        ({"kind": "oval"}, "kind: input should be 'round' or 'square', found \"oval\""),
        ({"name": ["x" * 200]}, "name: input should be a valid string"),
    ],
)
def test_every_fault_is_told_with_its_key(values: dict, said: str):
    message = faults(**values)
    assert message.startswith(said) and len(message) < 160


def test_all_faults_are_told_at_once_and_what_is_missing_together():
    with pytest.raises(ValueError) as raised:
        make_config(Outer, {"rate": -1, "x": 1, "always": {}}, "o")
    said = str(raised.value)
    assert said.startswith("o: kind, always.rate: required, but not given; rate: ")
    assert said.count(";") == 3 and "x: no such option; there are" in said


def test_options_are_told_in_reading_order_with_type_default_and_meaning():
    assert list(options(Outer)) == [
        ("kind", "round | square", "required", "Its shape."),
        ("rate", "float > 0, <= 9", "1e-05", "Steps an hour, on the whole."),
        ("bound", "float > 0 | null", "null", "At most this."),
        ("inner", "group | null", "null", "What is inside."),
        ("inner.depth", "int >= 1", "required", "How deep."),
        ("inner.width", "float", "0.5", "How wide."),
        ("always.rate", "float > 0", "required", "Steps an hour, on the whole."),
        ("always.name", "str", '""', "What it is called."),
        ("rooms", "dict[str, group]", "{}", "Rooms by name."),
        ("rooms.NAME.depth", "int >= 1", "required", "How deep."),
        ("rooms.NAME.width", "float", "0.5", "How wide."),
        ("pair", "tuple[float, float]", "[0.0, 1.0]", "Two numbers."),
        ("on", "bool", "false", "Whether."),
        ("name", "str", '""', "What it is called."),
    ]


SIZES = {
    f"pretrain {name}"
    for name in (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
    )
}


@pytest.mark.parametrize("stage", STAGES)
def test_every_option_of_a_stage_has_a_meaning(stage: str):
    found = list(options(stage_module(stage).CONFIG))
    assert len({name for name, *_ in found}) == len(found) > 2
    untold = {f"{stage} {name}" for name, _, _, meaning in found if meaning[-1:] not in (".", "?")}
    assert untold <= SIZES


def test_the_sizes_of_pretrain_have_meanings():
    found = options(stage_module("pretrain").CONFIG)
    assert all(meaning for name, *_, meaning in found)


@pytest.mark.parametrize("stage", STAGES)
def test_every_default_can_be_written_back(stage: str):
    """The help shows defaults as one would write them."""
    cls = stage_module(stage).CONFIG
    shown = {name: default for name, _, default, _ in options(cls) if "." not in name}
    given = [f"{name}={value}" for name, value in shown.items() if value != "required"]
    fields = cls.model_fields
    for name, value in apply_overrides({}, given).items():
        assert (
            json.loads(json.dumps(fields[name].get_default(call_default_factory=True))) == value
        ), name


def test_the_nearest_name_is_told_or_all_there_are():
    assert nearest("learning_rte", ["learning_rate", "seed"]) == "; did you mean learning_rate?"
    assert nearest("zzz", ["learning_rate", "seed"]) == "; there are learning_rate, seed"
