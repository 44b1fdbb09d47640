"""Options of an environment with tools, for every stage that samples."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from plaudit.assets import shipped
from plaudit.config import Config
from plaudit.environments.calculator import calculator_tool
from plaudit.environments.conversations import ConversationSampler
from plaudit.environments.functions import function_tool
from plaudit.environments.python import python_tool
from plaudit.environments.search import read_passages, search_tool
from plaudit.environments.service import service_tool
from plaudit.environments.sql import sql_tool
from plaudit.environments.tools import Tool, Toolbox
from plaudit.formats import local_inputs
from plaudit.sampling import LocalSampler, Sampler
from plaudit.text import Renderer


class PythonOptions(Config):
    """The tool ``python``."""

    timeout_seconds: float = Field(default=5.0, gt=0)
    """Of a program."""
    memory_mb: int = Field(default=256, ge=16)
    """Of a program."""


class SQLOptions(Config):
    """The tool ``sql``."""

    database: str
    """An SQLite file, or an .sql script that makes one in memory."""
    max_rows: int = Field(default=20, ge=1)
    """Rows of a result; a note says that there are more."""
    timeout_seconds: float = Field(default=1.0, gt=0)
    """Of a query."""


class SearchOptions(Config):
    """The tool ``search``."""

    corpus: str
    """Passages: a file of rows, or a pattern of files."""
    column: str = "text"
    """Of a row, with the passage."""
    max_results: int = Field(default=3, ge=1)
    """Passages in a result."""


class ServiceOptions(Config):
    """A tool behind HTTP."""

    url: str
    """Where the arguments are posted, as JSON."""
    tool: str
    """A JSON file with description and parameters (JSON Schema of an object)."""
    timeout_seconds: float = Field(default=10.0, gt=0)
    """Of a call."""
    allow_remote: bool = False
    """Let the service be on another machine."""


class EnvironmentOptions(Config):
    """Responses of several turns, with tools."""

    calculator: bool = False
    """The tool calculator: arithmetic expressions."""
    python: PythonOptions | None = None
    """The tool python: programs in the sandbox."""
    sql: SQLOptions | None = None
    """The tool sql: queries that read a database."""
    search: SearchOptions | None = None
    """The tool search: passages of a corpus, by BM25."""
    functions: list[str] = Field(default_factory=list)
    """Typed functions of your own, package.module:name; each is a tool."""
    services: dict[str, ServiceOptions] = Field(default_factory=dict)
    """Services by name; each is a tool."""
    max_turns: int = Field(default=4, ge=1)
    """Turns of the policy in a response."""
    max_reply_tokens: int = Field(default=256, ge=1)
    """Tokens of a tool's result; a longer one is cut, with a note."""
    describe_tools: bool = True
    """Tell the model of the tools through its chat template; off where the prompts do."""

    @model_validator(mode="after")
    def _have_a_tool(self) -> EnvironmentOptions:
        given = (self.calculator, self.python, self.sql, self.search, self.functions, self.services)
        if not any(given):
            raise ValueError(
                "no tool is given; choose calculator, python, sql, search, functions or services"
            )
        return self


def environment_inputs(options: EnvironmentOptions | None) -> dict[str, Path]:
    """What lies on disk, by option."""
    if options is None:
        return {}
    named = {f"services.{name}.tool": s.tool for name, s in options.services.items()}
    named |= {"sql.database": options.sql.database} if options.sql else {}
    named |= {"search.corpus": options.search.corpus} if options.search else {}
    return {f"environment.{key}": path for key, path in local_inputs(**named).items()}


def told_of_tools(options: EnvironmentOptions | None, renderer: Renderer) -> Renderer:
    """The renderer with which prompts are measured and sampled from.

    Raises:
        ValueError: a tool cannot be opened, or the chat template has no place for tools.
    """
    if options is None or not options.describe_tools:
        return renderer
    return renderer.with_tools([tool.described() for tool in open_tools(options)])


def with_environment(
    options: EnvironmentOptions | None, engine: LocalSampler, renderer: Renderer
) -> Sampler:
    """The engine, or where there is an environment conversations around it.

    Args:
        renderer: as ``told_of_tools`` gave it; the engine's too.

    Raises:
        ValueError: a tool cannot be opened, or the chat template takes no tools' results.
    """
    if options is None:
        return engine
    return ConversationSampler(
        engine,
        renderer,
        Toolbox(open_tools(options)),
        max_turns=options.max_turns,
        max_reply_tokens=options.max_reply_tokens,
    )


def open_tools(options: EnvironmentOptions) -> list[Tool]:
    """The tools that are given, in the options' order.

    Raises:
        ValueError: a database, corpus, function or service's description cannot be read.
    """
    tools = [calculator_tool()] if options.calculator else []
    if options.python is not None:
        tools.append(python_tool(**options.python.model_dump()))
    if (sql := options.sql) is not None:
        database = _place(sql.database)
        limits = sql.model_dump(exclude={"database"})
        tools.append(sql_tool(database, **limits))
    if (search := options.search) is not None:
        passages = read_passages(search.corpus, search.column)
        tools.append(search_tool(passages, max_results=search.max_results))
    tools += [function_tool(path) for path in options.functions]
    for name, service in options.services.items():
        limits = service.model_dump(exclude={"tool", "url"})
        tools.append(service_tool(name, _place(service.tool), service.url, **limits))
    return tools


def _place(name: str) -> Path:
    return shipped(name) or Path(name)
