"""Rows of a data file, each with where it stands, so that every error can say so."""

from __future__ import annotations

import csv
import glob
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Any, NoReturn

from plaudit.assets import shipped


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row and its place: ``file:line``."""

    where: str
    value: dict[str, Any]

    @property
    def name(self) -> str:
        """The place without its folders, which is the same on every machine."""
        return os.path.basename(self.where)

    def fail(self, problem: str, expected: str) -> NoReturn:
        """Refuse the row: what is wrong, and what a good row looks like."""
        raise ValueError(f"{self.where}: {problem}; expected {expected}")


def data_files(name: str) -> list[Path]:
    """The files a name stands for: shipped, a path, or a pattern such as ``books/**/*.txt.gz``.

    Raises:
        ValueError: there are none.
    """
    found = shipped(name)
    matches = [found] if found else [Path(name)]
    if not matches[0].exists():
        matches = sorted(map(Path, glob.glob(name, recursive=True)))
    files = [path for path in matches if path.is_file()]
    if not files:
        problem = "only a directory; name the files in it" if matches else "no such file"
        raise ValueError(f"{name}: {problem}")
    return files


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSON Lines, JSON, CSV, TSV or Parquet file; ``.gz`` is unpacked.

    Raises:
        ValueError: the file is damaged, empty, or of none of these kinds.
    """
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix not in _READERS:
        kinds = ", ".join(sorted(_READERS))
        raise ValueError(f"{path}: cannot read {suffix or 'files without a suffix'}; read {kinds}")
    empty = True
    for row in _READERS[suffix](path):
        empty = False
        yield row
    if empty:
        raise ValueError(f"{path}: holds no rows")


def read_text(path: Path) -> str:
    """A text file, unpacked if it ends in ``.gz``.

    Raises:
        ValueError: the file is damaged or is not UTF-8.
    """
    try:
        raw = path.read_bytes()
        # Spreadsheets begin UTF-8 with a byte order mark, which is no part of the text.
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be unpacked or read ({error})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text (byte {error.start})") from error


def arrow_rows(place: str, values: Iterable[dict[str, Any]]) -> Iterator[Row]:
    """Rows of an Arrow table, numbered from 1, as JSON would hold them; nulls are left out.

    Arrow gives every row and every nested object the keys of all the others, null where the data
    had none, so only an absent key can mean what was written.
    """
    for number, value in enumerate(values, start=1):
        yield Row(where=f"{place}:row {number}", value=_as_json(value))


def one_line(error: Exception) -> str:
    """A library's error, short enough to stand in one of ours."""
    return " ".join(str(error).split())[:200]


def _json_lines(path: Path) -> Iterator[Row]:
    text = read_text(path)
    if text.lstrip().startswith("["):
        raise ValueError(
            f"{path}:1: holds one JSON array; expected one JSON object a line, or name it .json"
        )
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{where}: not valid JSON ({error.msg} at column {error.colno}); "
                "expected one JSON object a line"
            ) from error
        yield _row(where, value, line)


def _json_array(path: Path) -> Iterator[Row]:
    """The items of a JSON array, each with the line it begins on."""
    text, decoder = read_text(path), json.JSONDecoder()
    at, line, counted = _skip_space(text, 0), 1, 0
    if text[at : at + 1] != "[":
        raise ValueError(f"{path}: expected a JSON array of objects; use .jsonl for JSON Lines")
    at = _skip_space(text, at + 1)
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        begin = at
        try:
            value, at = decoder.raw_decode(text, begin)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path}:{error.lineno}: not valid JSON ({error.msg}); "
                "expected a JSON array of objects"
            ) from error
        yield _row(f"{path}:{line}", value, text[begin:at])
        at = _next_item(path, text, _skip_space(text, at))
    if text[at + 1 :].strip():
        raise ValueError(f"{path}: text after the end of the JSON array; expected one array")


def _next_item(path: Path, text: str, at: int) -> int:
    """Where the next item or the closing bracket stands, past the comma."""
    after = _skip_space(text, at + 1)
    if text[at : at + 1] == "]":
        return at
    if text[at : at + 1] == "," and text[after : after + 1] != "]":
        return after
    line = text.count("\n", 0, at) + 1
    raise ValueError(f"{path}:{line}: not valid JSON; expected a comma and an object, or ]")


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def _separated(path: Path, delimiter: str = ",") -> Iterator[Row]:
    csv.field_size_limit(1 << 30)
    lines = io.StringIO(read_text(path), newline="")
    # Strict, or a quote that is never closed would swallow the rows after it.
    reader = csv.DictReader(lines, delimiter=delimiter, strict=True)
    try:
        for value in reader:
            where = f"{path}:{reader.line_num}"
            if None in value or None in value.values():
                columns = ", ".join(reader.fieldnames or [])
                raise ValueError(f"{where}: not as many fields as the header; expected {columns}")
            yield Row(where=where, value=value)
    except csv.Error as error:
        # The reader's line is that of the last good row.
        where = f"{path}:{reader.line_num + 1}"
        raise ValueError(f"{where}: not valid CSV ({error}); expected closed quotes") from error


def _tab_separated(path: Path) -> Iterator[Row]:
    yield from _separated(path, "\t")


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        values = parquet.ParquetFile(path).read().to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a readable Parquet file ({one_line(error)})") from error
    yield from arrow_rows(str(path), values)


_READERS = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json_array,
    ".csv": _separated,
    ".tsv": _tab_separated,
    ".parquet": _parquet,
}


# JSON can escape half of a character outside the basic plane, which no encoding can hold.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _row(where: str, value: Any, text: str) -> Row:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: found a {type(value).__name__}; expected a JSON object")
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start])
            raise ValueError(f"{where}: {half} is half a character; expected both") from error
    return Row(where=where, value=value)


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_json(v) for key, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_as_json(v) for v in value]
    return value.isoformat() if isinstance(value, date | time) else value
