"""Strict configuration: YAML plus ``key=value`` overrides into frozen models.

Every option is a pydantic field with a description that names its unit. An unknown key is an
error that names the nearest one, and so is a value of the wrong type; nothing is ignored.
"""

from __future__ import annotations

import difflib
import inspect
import json
import re
import types
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails


class Config(BaseModel):
    """Base of every configuration: frozen, unknown keys refused, every number finite."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        protected_namespaces=(),
        allow_inf_nan=False,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_yes_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python counts True as 1, so ``max_steps: yes`` would be one step."""
        assert info.field_name is not None
        annotation = cls.model_fields[info.field_name].annotation
        if isinstance(value, bool) and not {bool, Any} & {annotation, *get_args(annotation)}:
            raise ValueError(f"expected {_type_name(annotation)}, found {json.dumps(value)}")
        return value


ConfigT = TypeVar("ConfigT", bound=Config)


_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: ``1e-4`` is a number, and a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key!r} is given twice", problem_mark=key_node.start_mark
                )
            seen |= {key} if isinstance(key, Hashable) else set()
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping a YAML file holds.

    Raises:
        ValueError: the file is missing, is not YAML, or does not hold a mapping.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such configuration file")
    if path.is_dir():
        raise ValueError(f"{path}: a directory; expected a YAML file")
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error.reason})") from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"{path}{line}: not valid YAML: {_problem(error)}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {_one_line(error)}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(
            f"{path}: found a {type(value).__name__}; expected lines of 'key: value', with a space "
            "after the colon"
        )
    return value


def apply_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Lay ``key=value`` (``outer.inner=value``) over a nested mapping; values are read as YAML.

    Raises:
        ValueError: an override has no ``=``, or its key runs through something not a mapping.
    """
    merged = _copy(values)
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise ValueError(f"{override!r}: expected key=value, for example learning_rate=1e-4")
        *outer, last = key.split(".")
        target = merged
        for part in outer:
            if target.get(part) is None:
                target[part] = {}
            target = target[part]
            if not isinstance(target, dict):
                raise ValueError(f"{key}: {part} is a value, not a group of options")
        target[last] = _override_value(key, text)
    return merged


def make_config(cls: type[ConfigT], values: Mapping[str, Any], where: str) -> ConfigT:
    """Validate a mapping; ``where`` (a file, a recipe's step) begins every message.

    Raises:
        ValueError: all faults on one line, each with its key, what was expected and, for a key
            that is unknown, the nearest.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        details = error.errors()
        missing = [_key(detail) for detail in details if detail["type"] == "missing"]
        faults = [f"{', '.join(missing)}: required, but not given"] if missing else []
        faults += [_explain(cls, detail) for detail in details if detail["type"] != "missing"]
        raise ValueError(f"{where}: {'; '.join(faults)}") from error


def options(cls: type[Config], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Name, type, default and meaning of every option, as one reads them.

    The required come first, then those of the class's own, then those it shares with others. The
    options of a group follow it under a dotted name.
    """
    for name in _in_reading_order(cls):
        field = cls.model_fields[name]
        inner = _config_inside(field.annotation)
        # The groups of a mapping have names of the user's own.
        named = "NAME." if get_origin(field.annotation) is dict else ""
        if inner is None or named or field.default_factory is None:
            yield prefix + name, _field_type(field), _default(field), _meaning(cls, name)
        if inner is not None:
            yield from options(inner, f"{prefix}{name}.{named}")


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean ...?`` for a name close to a known one, else ``; there are ...``."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1, 0.5)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"


def _key(detail: ErrorDetails) -> str:
    return ".".join(str(part) for part in detail["loc"])


def _explain(cls: type[Config], detail: ErrorDetails) -> str:
    key, location = _key(detail), [str(part) for part in detail["loc"]]
    if detail["type"] == "extra_forbidden":
        return f"{key}: no such option{nearest(location[-1], _sibling_keys(cls, location))}"
    message = detail["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if detail["type"] != "value_error":
        given = json.dumps(detail["input"], default=str, skipkeys=True, ensure_ascii=False)
        message += f", found {_shortened(given)}"
    # A rule between options names them itself.
    return f"{key}: {message}" if key else message


def _sibling_keys(cls: type[Config], location: Sequence[str]) -> list[str]:
    for part in location[:-1]:
        field = cls.model_fields.get(part)
        inner = _config_inside(field.annotation) if field else None
        if inner is None:
            break
        cls = inner
    return list(cls.model_fields)


def _config_inside(annotation: Any) -> type[Config] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Config):
            return candidate
    return None


def _in_reading_order(cls: type[Config]) -> list[str]:
    """Required options, then by class from the nearest; within a class in the file's order."""
    by_class = [name for base in cls.__mro__ for name in inspect.get_annotations(base)]
    names = [name for name in dict.fromkeys(by_class) if name in cls.model_fields]
    return sorted(names, key=lambda name: not cls.model_fields[name].is_required())


def _meaning(cls: type[Config], name: str) -> str:
    """An option's description; one that is only given another default keeps its parent's."""
    parents = [base for base in cls.__mro__ if issubclass(base, Config)]
    fields = [base.model_fields[name] for base in parents if name in base.model_fields]
    found = next((field.description for field in fields if field.description), "")
    return " ".join(found.split())


def _default(field: FieldInfo) -> str:
    """As one would write it in a file."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    plain = isinstance(value, str) and value.strip()
    return value if plain else json.dumps(value, default=str)


def _field_type(field: FieldInfo) -> str:
    return _type_name(field.annotation) + _bounds(field.metadata)


def _bounds(metadata: Iterable[Any]) -> str:
    """Bounds on a number, as in `` > 0`` or `` >= 0, <= 1``."""
    found = []
    for bound in metadata:
        match bound:
            case FieldInfo(metadata=inside):
                found.append(_bounds(inside))
            case object(gt=value):
                found.append(f" > {value}")
            case object(ge=value):
                found.append(f" >= {value}")
            case object(le=value):
                found.append(f" <= {value}")
    return ",".join(found)


def _type_name(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        plain, *marks = get_args(annotation)
        return _type_name(plain) + _bounds(marks)
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return "group"
    if origin is Literal:
        return " | ".join(str(value) for value in get_args(annotation))
    if origin in (Union, types.UnionType):
        return " | ".join(_type_name(part) for part in get_args(annotation))
    if annotation is type(None):
        return "null"
    if origin is not None:
        inner = ", ".join(_type_name(a) for a in get_args(annotation) if a is not Ellipsis)
        return f"{origin.__name__}[{inner}]"
    return getattr(annotation, "__name__", str(annotation))


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copy(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def _override_value(key: str, text: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(
            f"{key}: {text!r} is not valid YAML ({_problem(error)}); put it in two pairs of "
            f"quotes, {key}='\"...\"', to have it taken as it stands"
        ) from error


def _problem(error: yaml.YAMLError) -> str:
    problem = error.problem if isinstance(error, yaml.MarkedYAMLError) else None
    return problem or _one_line(error)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _shortened(text: str, characters: int = 60) -> str:
    return text if len(text) <= characters else f"{text[:characters]}..."
