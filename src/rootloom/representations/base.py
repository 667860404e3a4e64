"""What a representation is, and the refusals and roundings that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeAlias, TypeVar

import numpy as np

from rootloom import errors
from rootloom.config.members import asked_if
from rootloom.errors import ConfigError, DataError, nearest
from rootloom.representations.turning import Turn
from rootloom.types import Column, Ragged, Tensor, offsets_of

if TYPE_CHECKING:
    from rootloom.rootio.dataset import RowReader
    from rootloom.rootio.writing import Rows

# A float32 has 23 bits of mantissa; keeping all of them stores values as they are.
LOSSLESS = 23


# Inputs, or a part of them: an array, None, or a NamedTuple or mapping of such.
Nested: TypeAlias = Any
N = TypeVar("N", bound="tuple[Any, ...]")  # inputs: a NamedTuple, see `Nested`


class MomentsLike(Protocol):
    """Mean and standard deviation of F features over a training set, both (F,)."""

    @property
    def mean(self) -> Tensor: ...  # noqa: D102
    @property
    def std(self) -> Tensor: ...  # noqa: D102


@dataclass(frozen=True)
class Panel:
    """The axes of one image of a row; row 0 is at the bottom, column 0 at the left.

    shape: (H, W). extent: (left, right, bottom, top) in the units of the labels. equal: whether
    both axes have the same unit. quantity: what a pixel holds. logarithmic: its colour scale, for
    what spans powers of ten. title: which of several panels it is.
    """

    shape: tuple[int, int]
    extent: tuple[float, float, float, float]
    x_label: str
    y_label: str
    quantity: str
    title: str = ""
    equal: bool = True
    logarithmic: bool = True

    @property
    def pixels(self) -> int:
        """How many there are."""
        return self.shape[0] * self.shape[1]


@dataclass(frozen=True)
class Quantity:
    """A quantity: its name, as in metrics, and its unit; "" if it has none."""

    name: str
    unit: str = ""

    @property
    def label(self) -> str:
        """Label of an axis: "mass / GeV"."""
        return f"{self.name} / {self.unit}" if self.unit else self.name


@dataclass(frozen=True)
class Condition(Quantity):
    """A number for which a generator makes an example, such as the energy of a particle.

    sample, column: its position among the values of `sample`, whose minimum and maximum in the
    training split are the range that a generator has learnt; "": the range is unknown. positive:
    whether only numbers above 0 are valid.
    """

    sample: str = ""
    column: int = 0
    positive: bool = False


@dataclass(frozen=True)
class GenerationOptions:
    """Options for generating examples like those of the test split: `generation:` of an experiment.

    seed: of the random numbers of the generator.
    """

    seed: int = 1


class Representation(ABC):
    """Events to tensors: what every representation derives from, with all that is asked of one.

    One of them is a frozen dataclass; its fields are its configuration. Two have a meaning to the
    plan, which then reads nothing else of a file: `variables`, names of row variables (None: all),
    and `objects`, a collection or several, also as "collection.column".

    The path of a row: `encode` (ROOT → shard, once), `sample` (shard → statistics, once),
    `collate` (shard → batch, every epoch, on the host), `normalise` (inside the jitted step).

    kind: of the inputs it makes, which models that take them name in `consumes`.
    same_shape: whether batches have one shape whatever their rows; each process of a training then
    makes the inputs of its own devices only, and rows may stay on the devices.
    not_encoded: of one that encodes column by column, the fields that do not change a stored
    column: its shards gain columns by what `only` makes. None: every column depends on all fields.
    centres: whether `centred` returns one that subtracts, so that inputs keep their digits.
    turns: whether `turned` may turn inputs.
    drawn: whether its rows have images, which `panels` describes and `draw` makes.

    For generators:
    generated: whether its inputs can be generated. noun: word for one of them: "shower".
    expressed: whether the expressions of a dataset can read what `decode` writes; variables of the
    dataset are then computed for generated examples too. generation: the class of the options of
    `decode`, whose fields are `generation:` of an experiment.
    """

    kind: ClassVar[str]
    same_shape: ClassVar[bool] = False
    not_encoded: ClassVar[tuple[str, ...] | None] = None
    centres: ClassVar[bool] = False
    turns: ClassVar[bool] = False
    drawn: ClassVar[bool] = False
    generated: ClassVar[bool] = False
    noun: ClassVar[str] = "example"
    expressed: ClassVar[bool] = False
    generation: ClassVar[type[GenerationOptions]] = GenerationOptions

    @abstractmethod
    def needs(
        self, variables: Sequence[str], objects: Mapping[str, Sequence[str]]
    ) -> tuple[str, ...]:
        """Names of the RowBlock columns it reads; raises ConfigError for one not declared."""

    @abstractmethod
    def encode(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """RowBlock columns of R rows → shard columns of R rows; raises DataError."""

    @abstractmethod
    def sample(self, columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
        """Values to take moments of: name → (n, F) float64, NaN where absent."""

    @abstractmethod
    def collate(self, columns: Mapping[str, Column], rows: np.ndarray, size: int) -> Any:
        """The model's inputs for `rows` (n,), padded with zero rows to `size` examples."""

    @abstractmethod
    def normalise(self, inputs: Any, statistics: Mapping[str, MomentsLike]) -> Any:
        """Inputs scaled with the training set's moments; padding stays exactly 0."""

    @asked_if("not_encoded")
    def only(self, names: Sequence[str]) -> Self:
        """A representation with the same encoding of some of the columns; for `not_encoded`."""
        raise NotImplementedError

    def slots(self) -> int:
        """Objects that a row has room for, where the memory of networks grows with them or faster.

        1, the default: rows of other kinds are small.
        """
        return 1

    def length_groups(self) -> tuple[str, int] | None:
        """A ragged shard column whose objects are a row's length, and how many groups to pad in.

        None, the default: rows are not put in groups, see `batches.strata`.
        """
        return None

    def padded_alike(self) -> Self:
        """A copy whose rows are in no groups, for models that read empty slots.

        By default itself. See `length_groups`.
        """
        return self

    def row_lengths(self, columns: Mapping[str, Column], rows: np.ndarray) -> np.ndarray:
        """Slots that each of `rows` (n,) needs, (n,) integers; for `length_groups`."""
        raise NotImplementedError

    def collate_groups(
        self, columns: Mapping[str, Column], rows: np.ndarray, groups: Sequence[tuple[int, int]]
    ) -> Any:
        """Inputs as of `collate`, in groups of (rows, slots), the first rows in the first group."""
        raise NotImplementedError

    def together(self, names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Shard columns to lie side by side in memory: a name of `collate`'s → its members.

        These are ragged, one number an object and of equal lengths in every row; they become one
        column (V, C). By default none.
        """
        return {}

    def counting(self, inputs: Any, rows: Tensor) -> Any:
        """Inputs of which only `rows` (B,) bool count in what a network learns of a batch as such.

        That are rows whose weight is not 0: a left-out fold must not reach batch normalisation. By
        default all do, as no network of other representations has such layers.
        """
        return inputs

    def merge(self, inputs: Sequence[N]) -> N:
        """What `collate` makes for each of several devices as one, with a leading device axis."""
        return stack(inputs)

    @asked_if("centres")
    def centred(self, statistics: Mapping[str, MomentsLike]) -> Self:
        """A copy that subtracts the means in `statistics` before inputs become float32.

        By default itself. statistics: as `normalise` gets them.
        """
        return self

    @asked_if("turns")
    def turned(self, inputs: Any, draws: Tensor | None) -> tuple[Any, Turn | None]:
        """Inputs turned about the z axis or mirrored, before `normalise`, and how; None: not.

        draws: (B,) uint32, random numbers of the examples while a network learns, else None.
        """
        return inputs, None

    def quantities(self, columns: Mapping[str, Column]) -> Mapping[str, Column]:
        """Columns by names in words, whose distributions the report shows; by default none."""
        return {}

    @asked_if("drawn")
    def panels(self) -> tuple[Panel, ...]:
        """The axes of the images of a row; by default it has none."""
        return ()

    @asked_if("drawn")
    def draw(self, columns: Mapping[str, Column], rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """The images of `rows` (n,): (n, H, W) a panel."""
        return ()

    # -- what generators make -----------------------------------------------------------------

    def conditions(self) -> tuple[Condition, ...]:
        """Numbers for which a generator makes an example; by default none."""
        return ()

    def condition(self, inputs: Any) -> Any:
        """The values of `conditions` of inputs (B, …), (B, K) float32.

        inputs: as `collate` makes them, arrays of NumPy or JAX.
        """
        leaf = _leaves(inputs)[0]
        return leaf.reshape(leaf.shape[0], -1)[:, :0]

    @asked_if("generated")
    def restore(self, inputs: Any, statistics: Mapping[str, MomentsLike]) -> Any:
        """The inverse of `normalise`: inputs as `collate` makes them, in physical units."""
        raise NotImplementedError

    @asked_if("generated")
    def decode(self, inputs: Any, options: Any) -> Rows:
        """B entries of a tree from inputs (B, …), NumPy arrays as `collate` makes them.

        options: an object of the class `generation`.
        """
        raise NotImplementedError

    def read_back(self, reader: RowReader) -> tuple[RowReader, tuple[str, ...]]:
        """A reader for files that `decode` wrote, and its columns that `recode` needs.

        reader: that of the dataset, which is used by default. Another reader must have the same
        tree and classes, and its expressions may call no other functions: an evaluation knows those
        that the configuration names, and follows edits of these.
        """
        objects = {name: tuple(columns) for name, columns in reader.objects.items()}
        return reader, self.needs(tuple(reader.variables), objects)

    def recode(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """Shard columns of rows that `decode` wrote; by default those of `encode`."""
        return self.encode(columns)

    @asked_if("generated")
    def flat(self, inputs: Any) -> np.ndarray:
        """Inputs (B, …) as (B, C) float32, for classifiers that also see the condition."""
        raise NotImplementedError

    @asked_if("generated", "drawn")
    def images(self, flat: np.ndarray) -> tuple[np.ndarray, ...]:
        """Images (n, H, W) for each panel, from outputs (n, C) of `flat` or means of them."""
        raise NotImplementedError

    def observables(self) -> tuple[Quantity, ...]:
        """Quantities that are compared, in addition to variables of the dataset."""
        return ()

    def observe(self, inputs: Any) -> np.ndarray:
        """Values of `observables` for inputs (B, …), as `collate` makes them: (B, F) float32."""
        return np.empty((len(_leaves(inputs)[0]), 0), np.float32)

    def response(self, inputs: Any) -> np.ndarray | None:
        """The first of the `conditions` as measured from inputs (B, …): (B,) float64, in its unit.

        None, the default: it cannot be measured from the inputs.
        """
        return None


def _leaves(inputs: Nested) -> list[np.ndarray]:
    """The arrays of inputs."""
    if inputs is None:
        return []
    parts = _parts(inputs)
    return [inputs] if parts is None else [leaf for one in parts for leaf in _leaves(one)]


def _parts(whole: Nested) -> list[Nested] | None:
    """What a tuple or a mapping is made of; None for an array."""
    if isinstance(whole, tuple):  # first, as the faster question
        return list(whole)
    return list(whole.values()) if isinstance(whole, Mapping) else None


def _like(whole: Nested, parts: Iterable[Nested]) -> Nested:
    """A tuple, NamedTuple or mapping like `whole` of these parts."""
    if not isinstance(whole, tuple):
        return dict(zip(whole, parts, strict=True))
    return tuple(parts) if type(whole) is tuple else type(whole)(*parts)


def stack(inputs: Sequence[N]) -> N:
    """Several devices' inputs as one, with a leading device axis: see `Nested`.

    Shapes may differ between devices, as those of bucketed trees do: each leaf is padded with
    zeros to its largest.
    """
    whole: N = _stacked(inputs)
    return whole


def _stacked(inputs: Sequence[Nested]) -> Nested:
    if inputs[0] is None:
        return None
    parts = [_parts(one) for one in inputs]
    if parts[0] is None:
        return _stack(inputs)
    return _like(inputs[0], map(_stacked, zip(*parts, strict=True)))


def of_devices(inputs: N, devices: range) -> N:
    """What `merge` makes, (devices, …), of some of the devices."""
    chosen: N = _cut(inputs, slice(devices.start, devices.stop))
    return chosen


def _cut(inputs: Nested, devices: slice) -> Nested:
    if inputs is None:
        return None
    parts = _parts(inputs)
    if parts is None:
        return inputs[devices]
    return _like(inputs, (_cut(part, devices) for part in parts))


def _stack(leaves: Sequence[np.ndarray]) -> np.ndarray:
    if len(leaves) == 1:
        return leaves[0][None]
    if len({leaf.shape for leaf in leaves}) == 1:
        return np.stack(leaves)
    shape = np.max([leaf.shape for leaf in leaves], axis=0)
    out = np.zeros((len(leaves), *shape), leaves[0].dtype)
    for d, leaf in enumerate(leaves):
        out[d][tuple(slice(n) for n in leaf.shape)] = leaf
    return out


def require_declared(
    who: str, wanted: Iterable[str], variables: Sequence[str], objects: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """The wanted columns ("pt", "constituents.px"), all of which the dataset must declare."""
    wanted = tuple(wanted)
    known = [*variables, *(f"{name}.{field}" for name in objects for field in objects[name])]
    for name in wanted:
        if name not in known:
            kind = "object column" if "." in name else "variable"
            raise ConfigError(
                f"representation '{who}'",
                expected=f"an {kind} '{name}'" if kind[0] == "o" else f"a {kind} '{name}'",
                found="no such name under the dataset's `variables` and `objects`",
                fix=nearest(name, known),
            )
    return wanted


def require_choice(who: str, field: str, value: str, choices: Iterable[str]) -> None:
    """Refuse a field whose value is none of the choices."""
    if value not in set(choices):
        raise ConfigError(
            f"representation '{who}', field '{field}'",
            expected="one of " + ", ".join(sorted(choices)),
            found=f"'{value}'",
            fix=nearest(value, choices),
        )


def require(who: str, field: str, holds: bool, expected: str, value: object) -> None:
    """Refuse a field whose value does not hold."""
    errors.require(f"representation '{who}', field '{field}'", holds, expected, repr(value))


def require_finite(name: str, column: Column) -> None:
    """Refuse NaN, infinities and what float32 cannot hold, naming the first row with one."""
    values = column.values if isinstance(column, Ragged) else column
    usable = np.abs(values) <= np.finfo(np.float32).max
    if usable.all():
        return
    row = bad = int(np.flatnonzero(~usable)[0])
    if isinstance(column, Ragged):
        row = int(column.row_of(bad))
    raise DataError(
        f"column '{name}', row {row} of the block",
        expected="finite values within float32's ±3.4e38",
        found=f"{values[bad]} there, {int((~usable).sum())} such values in the block",
        fix="select finite rows, or guard the expression (a logarithm or ratio of 0?)",
    )


def storable(values: np.ndarray) -> np.ndarray:
    """Values (V,) in float32, or in float64 where that would make equal what is not.

    That is: fewer than half of the distinct values would be left, or a single one that float32 does
    not have and whose neighbours there are more than 1 away.
    """
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    if np.array_equal(narrow, values):
        return narrow
    distinct, left = len(np.unique(values)), len(np.unique(narrow))
    lost = 2 * left < distinct or (distinct == 1 and np.spacing(np.abs(narrow[0])) > 1)
    return values.astype(np.float64) if lost else narrow


def ragged(columns: Mapping[str, Column], name: str) -> Ragged:
    """The column of that name, which holds several objects a row."""
    column = columns[name]
    if not isinstance(column, Ragged):
        raise DataError(f"column '{name}'", expected="objects in every row", found="one number")
    return column


def momenta(columns: Mapping[str, Column], objects: str, select: str | None) -> Ragged:
    """The objects' momenta, values (V, 4) float64 px, py, pz, E in GeV; only those in `select`."""
    parts = [ragged(columns, f"{objects}.{field}") for field in ("px", "py", "pz", "e")]
    for field, part in zip(("px", "py", "pz", "e"), parts, strict=True):
        require_finite(f"{objects}.{field}", part)
    stacked = np.stack([part.values for part in parts], axis=-1).astype(np.float64)
    all_of_them = Ragged(stacked, parts[0].offsets)
    if select is None:
        return all_of_them
    return subset(all_of_them, ragged(columns, f"{objects}.{select}").values != 0)


def leading(column: Ragged, most: int) -> Ragged:
    """The first `most` objects of each row."""
    position = np.arange(len(column.values)) - np.repeat(column.offsets[:-1], column.counts())
    offsets = offsets_of(np.minimum(column.counts(), most))
    return Ragged(column.values[position < most], offsets)


def subset(column: Ragged, kept: np.ndarray) -> Ragged:
    """The objects where `kept` (V,) is true, in the same rows."""
    before = np.concatenate([[0], np.cumsum(kept)])
    return Ragged(column.values[kept], before[column.offsets])


def round_mantissa(values: np.ndarray, keep_bits: int) -> np.ndarray:
    """float32 with all but `keep_bits` bits of the mantissa rounded to zero, to nearest even.

    Relative error at most 2^-(keep_bits + 1); a compressor then stores only the bits kept
    (Klöwer et al. 2021, Nature Comput. Sci. 1, 713).
    """
    values = np.ascontiguousarray(values, np.float32)
    if keep_bits >= LOSSLESS:
        return values
    drop = np.uint32(LOSSLESS - keep_bits)
    bits = values.view(np.uint32)
    one = np.uint32(1)
    half = (one << (drop - one)) - one + ((bits >> drop) & one)
    rounded = (bits + half) & ~((one << drop) - one)
    return rounded.view(np.float32)
