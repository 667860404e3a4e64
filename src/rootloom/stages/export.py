"""Write a trained network in the formats of other frameworks, and compare it with JAX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rootloom.config import registry
from rootloom.config.sections import Fields
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages.shared import ALL_SHARDS, statistics_read
from rootloom.stages.train import network_code
from rootloom.system import provenance
from rootloom.system.atomic import write_bytes, write_json
from rootloom.types import SPLITS

if TYPE_CHECKING:
    from rootloom.tasks.base import Params, Predictor
    from rootloom.types import Column

_GENUINE = 64  # rows of the test split in the comparison


@dataclass(frozen=True, kw_only=True)
class Section:
    """A member of a method and its formats, with their options by name.

    classes, targets: of the dataset that trains. threads: of JAX.
    """

    method: str
    member: int
    classes: list[str]
    targets: list[str]
    formats: dict[str, Fields]
    threads: int


def describe(plan: Planning, method: str, member: str) -> Description:
    """The exported network of a member, from its training and from rows that it is compared on."""
    request, nominal = plan.request, plan.datasets.nominal
    section = Section(
        method=method,
        member=int(member),
        classes=list(nominal.dataset.classes),
        targets=list(nominal.dataset.targets),
        formats=request.method(method).formats(),
        threads=request.experiment.threads,
    )
    upstream = [
        plan.fingerprint("train", method=method, member=member),
        statistics_read(plan, nominal.name, method),
    ]
    code = [*network_code(plan, method), *(registry.EXPORTED[name] for name in section.formats)]
    return Description(section, code=code, upstream=upstream)


def run(job: Job, *, model: str, shards: Sequence[str], folder: str, output: str) -> None:
    """Write the formats into `folder`, and what was compared to `output`, which comes last.

    Raises TrainingError where onnxruntime says something else than JAX, ConfigError for a network
    that a format has no words for.
    """
    from rootloom.training.devices import configure

    section = Section(**job["section"])
    configure(cpus=section.threads)
    from rootloom.stages.networks import predictor_in
    from rootloom.training import trained

    found = trained.load(model)
    task = predictor_in(found, model, section)
    columns = _genuine(shards)
    verdicts: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    for name, fields in section.formats.items():
        verdicts[name], made = _exported(task, found.params, columns, name, fields)
        files |= {f"{name}/{path}": content for path, content in made.items()}
    for path, content in files.items():
        write_bytes(Path(folder) / path, content)
    record = provenance.record("export", dict(job))
    write_json(output, {"formats": verdicts, "files": sorted(files), "provenance": record})
    for name, verdict in verdicts.items():
        print(f"{section.method}: {name}, largest difference {verdict['largest']['size']:.1e}")


def _genuine(shards: Sequence[str]) -> Mapping[str, Column]:
    """Shard columns of the first rows of the test split, or of what there is."""
    from rootloom.batches.store import join
    from rootloom.errors import DataError
    from rootloom.shards.reader import Shard

    found: dict[str, Column] = {}
    rows = 0
    for split in reversed(SPLITS):
        for path in shards:
            with Shard(path) as shard:
                part = shard.read(split, stop=_GENUINE - rows) if shard.rows(split) else {}
            if part:
                found = join(found, part) if found else part
                rows += len(part["id"])
            if rows == _GENUINE:
                return found
    if not rows:
        raise DataError("export", expected="rows to compare on", found="none")
    return found


def _exported(
    task: Predictor, params: Params, columns: Mapping[str, Column], name: str, fields: Fields
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The comparison of a format's network as JSON data, and its files by path."""
    import numpy as np

    from rootloom.export.formats import FORMATS
    from rootloom.export.gate import gate
    from rootloom.export.signature import signature_of

    options = registry.parse_as(registry.EXPORTED[name], fields)
    served = task.representation.served(columns, np.arange(len(columns["id"])))
    signature = signature_of(task, served, scaled=options.scaled)
    made = FORMATS[name](task, params, signature, options)
    return asdict(gate(task, params, signature, made.exported, served)), made.files


STAGE = Stage(
    "export",
    f"{__name__}:run",
    describe,
    reads=("train", "preprocess", "statistics"),
    script_calls=ALL_SHARDS,
)
