"""Write a shard, or only its missing columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from rootloom.errors import ResultError
from rootloom.representations.base import Representation
from rootloom.shards.add import OtherUnlabelledError, add_columns
from rootloom.shards.ids import Naming
from rootloom.shards.reader import Shard
from rootloom.shards.writer import ShardWriter
from rootloom.system.hashing import of_value
from rootloom.types import RowBlock

Blocks = Callable[[Sequence[str]], Iterable[RowBlock]]


def recipes(
    representation: Representation, expressions: Mapping[str, object], context: object
) -> dict[str, str]:
    """Hashes, by name, of everything that decides the stored form of each source column.

    expressions: of the columns read, by name, with the code of what they call. context: everything
    else that decides the rows or their encoding (source file, selection, splits, code).
    Representations that encode each column separately list fields that do not change a stored
    column in `not_encoded`; for all others every column depends on every expression.
    """
    ignored = representation.not_encoded
    if ignored is None:
        whole = of_value([vars(representation), dict(expressions), context])
        return dict.fromkeys(expressions, whole)
    fields = {k: v for k, v in vars(representation).items() if k not in ignored}
    return {name: of_value([fields, one, context]) for name, one in expressions.items()}


def write_or_update(
    path: Path,
    *,
    blocks: Blocks,
    representation: Representation,
    recipe: Mapping[str, str],
    file_key: str,
    splits: Mapping[str, float],
    naming: Naming | None = None,
    auxiliary: Sequence[str],
    sample: str = "",
    attributes: Mapping[str, str | int | float],
) -> int:
    """Write or update the shard of `representation`; returns how many source columns were read.

    blocks: reads the rows of the shard's range with the named columns. An existing shard whose
    columns all have the current recipe gets only the missing columns; any other is written again.
    """
    attributes = {**attributes, "recipes": json.dumps(dict(recipe), sort_keys=True)}
    kept = _kept(path, recipe)
    missing = [name for name in recipe if name not in kept]
    if kept and representation.not_encoded is not None:
        part = representation.only(missing)
        # A row of no class is stored only if all its inputs are finite, which may change with them.
        try:
            with suppress(OtherUnlabelledError), add_columns(path, attributes=attributes) as adder:
                for block in blocks(missing) if missing else ():
                    adder.append(block, part.encode(block.columns))
                return len(missing)
        except ResultError as damage:
            print(f"note: {path} is written again: {damage.found}")
    read = [*dict.fromkeys([*recipe, *auxiliary])]
    with ShardWriter(
        path,
        file_key=file_key,
        splits=splits,
        naming=naming,
        auxiliary=auxiliary,
        sample=sample,
        attributes=attributes,
    ) as writer:
        for block in blocks(read):
            columns = {name: block.columns[name] for name in recipe}
            writer.append(block, representation.encode(columns))
    return len(read)


def _kept(path: Path, recipe: Mapping[str, str]) -> frozenset[str]:
    """Source columns of an existing shard that can stay: all of them, or none."""
    if not path.exists():
        return frozenset()
    try:
        with Shard(path) as shard:
            stored: dict[str, str] = json.loads(shard.attributes.get("recipes", "{}"))
    except ResultError:
        return frozenset()  # damaged: it is written again
    same = all(recipe.get(name) == made_by for name, made_by in stored.items())
    return frozenset(stored) if same else frozenset()
