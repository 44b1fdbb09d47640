"""Learning: the learner, its optimiser, checkpoints, metrics, and the loops over trees."""

from plaudit.learning.checkpoints import Checkpoint, Checkpoints
from plaudit.learning.fitting import Order, fit
from plaudit.learning.learner import Learner, NonFiniteLoss, Objective, Weights
from plaudit.learning.optimiser import Optimiser, OptimiserSettings, schedule_factor
from plaudit.learning.recorder import Recorder, read_metrics

__all__ = [
    "Checkpoint",
    "Checkpoints",
    "Learner",
    "NonFiniteLoss",
    "Objective",
    "Optimiser",
    "OptimiserSettings",
    "Order",
    "Recorder",
    "Weights",
    "fit",
    "read_metrics",
    "schedule_factor",
]
