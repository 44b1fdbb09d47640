"""The recipes that learn from the coffee bar's ratings: all their options are right."""

from __future__ import annotations

from pathlib import Path

import pytest

import plaudit
from plaudit.pipeline import read_recipe

RECIPES = Path(plaudit.__file__).parent / "recipes"


@pytest.mark.parametrize("name", ["kto", "orpo", "simpo", "online_dpo", "raft", "iterative_dpo"])
def test_a_recipe_measures_what_it_trained(name: str, tmp_path: Path):
    recipe = read_recipe(RECIPES / f"{name}.yaml", [f"output={tmp_path}"])
    steps = {step.name: step for step in recipe.steps}
    measure = steps["measure"]
    trained = "dpo_2" if name == "iterative_dpo" else name
    assert {trained, "probe", "sft"} <= set(measure.after)
    assert recipe.publish == {"summary.json": tmp_path / "measure" / "summary.json"}
    portions = {
        step.name: tuple(portion)
        for step in recipe.steps
        if (portion := step.config.model_dump().get("portion")) is not None
    }
    assert portions.pop("probe") == (0.4, 0.8)
    assert portions.pop("measure") == (0.8, 1.0)
    if name == "raft":  # it imitates what was sampled, whatever its portion
        assert portions.pop("raft") == (0.0, 1.0)
        assert "sample" in steps["raft"].after
    if name == "iterative_dpo":  # each round learns from answers of the policy before it
        assert (portions.pop("dpo_1"), portions.pop("dpo_2")) == ((0.0, 1.0), (0.0, 1.0))
        assert {"sft", "sample_1"} <= set(steps["dpo_1"].after)
        assert {"dpo_1", "sample_2"} <= set(steps["dpo_2"].after)
        assert portions["sample_1"][1] == portions["sample_2"][0]
    assert all(end <= 0.4 for _, end in portions.values())
