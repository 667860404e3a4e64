"""Types shared by `rootloom.stages` and the plan: how a stage describes its jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Concatenate, Protocol, TypedDict

from rootloom.planning.data import Data, DataOf
from rootloom.planning.files import Files
from rootloom.planning.request import Request
from rootloom.system.hashing import of_value

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Job(TypedDict):
    """A job of a rule: its section of the configuration, and its fingerprint.

    section: the fields of its stage's dataclass. code: hash of the definitions it executes.
    upstream: hash of the fingerprints that its inputs carry. fingerprint: of these three.
    parts: hashes of the code of each function that its expressions call, by place, and of all else
    (""), for outputs of which only parts depend on a function. packages: those that its code
    imports, whose versions its outputs record.
    """

    section: dict[str, Any]
    code: str
    upstream: str
    fingerprint: str
    parts: dict[str, str]
    packages: list[str]


def job_of(
    section: DataclassInstance,
    code: str,
    upstream: str,
    *,
    parts: Mapping[str, str] = MappingProxyType({}),
    packages: Iterable[str] = (),
) -> Job:
    """A job with its fingerprint, in which `code` stands for its `parts`."""
    fields = asdict(section)
    return {
        "section": fields,
        "code": code,
        "upstream": upstream,
        "fingerprint": of_value({"section": fields, "code": code, "upstream": upstream}),
        "parts": dict(parts),
        "packages": sorted(packages),
    }


class Planning(Protocol):
    """The members of a plan that the description of a job may use."""

    @property
    def request(self) -> Request:
        """What the configuration asks for."""

    def data(self, dataset: str) -> Data:
        """One of the experiment's datasets."""

    def files(self, dataset: str) -> Files:
        """The files of a dataset, by pack."""

    @property
    def datasets(self) -> DataOf:
        """All datasets of the experiment."""

    def fingerprint(self, rule: str, **wildcards: str) -> str:
        """The fingerprint of another job, upstream of the described one."""

    def code(self, *targets: str) -> str:
        """Hash of the code that is reached from these definitions ("module:name")."""


@dataclass(frozen=True)
class Description:
    """The description of one job, from which its fingerprint is computed.

    section: what it is given of the configuration. code: what it executes beside the stage's own
    `run`: classes that the configuration names, as "module:Class". functions: those that the
    expressions call which it evaluates, "module:name". upstream: fingerprints of what it reads.
    """

    section: DataclassInstance
    code: Sequence[str] = ()
    functions: Sequence[str] = ()
    upstream: Sequence[str] = ()


@dataclass(frozen=True)
class Stage:
    """What a rule of the workflow declares.

    name: the rule's. run: the function that its jobs call, "module:function". describe: called
    with the plan and the job's wildcards by name, but for those that follow from others. reads: the
    rules whose outputs it reads. script_calls: what the rule's script calls beside `run`.
    same_again: made again, its outputs have the content they had, so that a user who forces it does
    not ask for what reads them.
    """

    name: str
    run: str
    describe: Callable[Concatenate[Planning, ...], Description]
    reads: tuple[str, ...] = ()
    script_calls: tuple[str, ...] = ()
    same_again: bool = False
