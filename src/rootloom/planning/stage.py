"""What a stage says of its jobs: the joint between `rootloom.stages` and the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Concatenate, Protocol, TypedDict

from rootloom.planning.data import Data, DataOf
from rootloom.planning.files import Files
from rootloom.planning.request import Request
from rootloom.system.hashing import of_value

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Job(TypedDict):
    """What a rule's job is given: its section of the configuration, and what decides its fate.

    section: the fields of its stage's dataclass. code: hash of the definitions it executes.
    upstream: hash of the fingerprints that its inputs carry. fingerprint: of these three.
    packages: those that its code imports, whose versions its outputs record.
    """

    section: dict[str, Any]
    code: str
    upstream: str
    fingerprint: str
    packages: list[str]


def job_of(
    section: DataclassInstance, code: str, upstream: str, packages: Iterable[str] = ()
) -> Job:
    """A job with the fingerprint of all that decides it."""
    fields = asdict(section)
    return {
        "section": fields,
        "code": code,
        "upstream": upstream,
        "fingerprint": of_value({"section": fields, "code": code, "upstream": upstream}),
        "packages": sorted(packages),
    }


class Planning(Protocol):
    """What the description of a job may ask of the plan."""

    @property
    def request(self) -> Request:
        """What the configuration asks for."""

    def data(self, dataset: str) -> Data:
        """What is asked of one of the experiment's datasets."""

    def files(self, dataset: str) -> Files:
        """The files of a dataset, by pack."""

    @property
    def datasets(self) -> DataOf:
        """All datasets of the experiment."""

    def fingerprint(self, rule: str, **wildcards: str) -> str:
        """The fingerprint of another job, upstream of the one that is described."""

    def code(self, *targets: str) -> str:
        """Hash of the definitions that these reach ("module:name")."""


@dataclass(frozen=True)
class Description:
    """What decides one job.

    section: what it is given of the configuration. code: what it executes beside the stage's own
    `run`: classes that the configuration names, as "module:Class". upstream: fingerprints of what
    it reads.
    """

    section: DataclassInstance
    code: Sequence[str] = ()
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
