"""Environments: responses of several turns, in which a policy calls real tools."""

from plaudit.environments.conversations import ConversationSampler
from plaudit.environments.functions import function_tool
from plaudit.environments.metrics import turn_metrics
from plaudit.environments.options import (
    EnvironmentOptions,
    environment_inputs,
    open_tools,
    told_of_tools,
    with_environment,
)
from plaudit.environments.protocol import Environment, Reply
from plaudit.environments.tools import Tool, Toolbox, ToolError

__all__ = [
    "ConversationSampler",
    "Environment",
    "EnvironmentOptions",
    "Reply",
    "Tool",
    "ToolError",
    "Toolbox",
    "environment_inputs",
    "function_tool",
    "open_tools",
    "told_of_tools",
    "turn_metrics",
    "with_environment",
]
