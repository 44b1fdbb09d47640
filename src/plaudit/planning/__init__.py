"""What a recipe will hold, compute, take and cost, before it runs."""

from plaudit.planning.command import (
    Asked,
    is_stage,
    show_plan,
    step_of_stage,
    steps_of_recipe,
)
from plaudit.planning.data import Stated
from plaudit.planning.plan import Plan, StepPlan, plan_steps

__all__ = [
    "Asked",
    "Plan",
    "Stated",
    "StepPlan",
    "is_stage",
    "plan_steps",
    "show_plan",
    "step_of_stage",
    "steps_of_recipe",
]
