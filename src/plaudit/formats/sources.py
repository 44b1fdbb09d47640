"""Where rows come from: files, directories of the ``datasets`` library, and the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from plaudit.assets import PREFIX, shipped
from plaudit.formats.files import Row, arrow_rows, data_files, one_line, read_rows
from plaudit.formats.generated import generated_rows, is_generated

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

_HUB = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(:(?P<split>[\w.-]+))?")
_FILE = re.compile(r".+\.(jsonl|ndjson|json|csv|tsv|parquet|txt)(\.gz)?")


def read_source(name: str) -> Iterator[tuple[str, Iterator[Row]]]:
    """Each part of a source with its rows: a file, a saved data set or one of the hub's.

    - ``data/pairs.jsonl``, ``data/*.parquet``, ``plaudit/coffee-bar/ratings.jsonl.gz``
    - a directory written by ``datasets.save_to_disk``, with ``:split`` where it holds several
    - ``organisation/name`` or ``organisation/name:split`` on the Hugging Face hub
    - ``generated:arithmetic?size=1000``: see ``plaudit.formats.generated``

    A split that is not named is ``train``. No code of a data set is ever run.

    Raises:
        ValueError: nothing of that name is found, or it cannot be read.
    """
    if is_generated(name):
        yield name, generated_rows(name)
        return
    folder, _, split = (name, "", "") if Path(name).exists() else name.partition(":")
    if Path(folder).is_dir():
        yield name, _rows(name, _saved(Path(folder), split))
    elif _is_on_hub(name) and not Path(name).exists():
        repository, _, split = name.partition(":")
        yield name, _rows(name, _from_hub(repository, split or "train"))
    else:
        for file in data_files(name):
            yield str(file), read_rows(file)


def local_inputs(**names: str | None) -> dict[str, Path]:
    """The files and directories that options name, by option; what is on the hub has none.

    Raises:
        ValueError: a name that is not a hub's stands for no file.
    """
    found: dict[str, Path] = {}
    for key, name in names.items():
        try:
            paths = [] if name is None else _local_paths(name)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from error
        found |= {key if len(paths) == 1 else f"{key}/{path.name}": path for path in paths}
    return found


def _local_paths(name: str) -> list[Path]:
    if is_generated(name):
        return []
    if place := shipped(name):
        return [place]
    folder = Path(name) if Path(name).exists() else Path(name.partition(":")[0])
    if folder.exists():
        return [folder]
    return [] if _is_on_hub(name) else data_files(name)


def _is_on_hub(name: str) -> bool:
    return bool(_HUB.fullmatch(name)) and not (name.startswith(PREFIX) or _FILE.fullmatch(name))


def _rows(name: str, rows: Dataset) -> Iterator[Row]:
    if not len(rows):
        raise ValueError(f"{name}: holds no rows")
    # A Dataset yields a dictionary a row; its type says only that it can be iterated.
    yield from arrow_rows(name, cast("Iterator[dict]", iter(rows)))


def _saved(folder: Path, split: str) -> Dataset:
    import datasets
    from pyarrow import ArrowException

    if not any((folder / file).is_file() for file in ("state.json", "dataset_dict.json")):
        raise ValueError(
            f"{folder}: a directory, but not one of datasets.save_to_disk; name files in it, "
            f"such as {folder}/*.jsonl"
        )
    try:
        found = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, ArrowException) as error:
        raise ValueError(f"{folder}: not a readable data set ({one_line(error)})") from error
    return _split(folder, found, split)


def _split(folder: Path, found: Dataset | DatasetDict, split: str) -> Dataset:
    if not isinstance(found, dict):
        if split:
            raise ValueError(f"{folder}: holds one data set without splits; leave out :{split}")
        return found
    chosen, there_are = split or "train", ", ".join(map(str, found))
    if chosen not in found:
        raise ValueError(f"{folder}: no split {chosen}; there are {there_are}")
    return found[chosen]


def _from_hub(repository: str, split: str) -> Dataset:
    import datasets

    try:
        return datasets.load_dataset(repository, split=split)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{repository}: no such file here, and not to be had from the Hugging Face hub "
            f"(split {split}): {one_line(error)}"
        ) from error
