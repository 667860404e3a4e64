"""One typed function per rule: the only room that knows every room.

Each takes the rule's `job` (its configuration section and fingerprint, see `rootloom.plan`), the
paths the rule declares, and leaves its outputs whole or not at all. Imports are local to the
functions: a job loads, and its fingerprint covers, only the rooms it uses.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rootloom import provenance, registry
from rootloom.errors import DataError, InputError
from rootloom.fileio import write_text
from rootloom.fingerprint import of_value
from rootloom.packing import position
from rootloom.running import progress, running
from rootloom.shards.manifest import all_shards
from rootloom.types import SPLITS, RowBlock

if TYPE_CHECKING:
    from rootloom.batches.draws import Draw
    from rootloom.batches.loader import Loader
    from rootloom.evaluation.predictions import Header as PredictionHeader
    from rootloom.rootio.dataset import RowReader
    from rootloom.rootio.header import Header
    from rootloom.shards.statistics import Statistics
    from rootloom.shards.weights import Reweight, WeightTable
    from rootloom.training.loop import Result
    from rootloom.training.options import TrainingOptions

__all__ = [
    "all_shards", "baseline", "evaluate", "friend", "friends", "index", "moments", "predict",
    "preprocess", "report", "running", "shard", "simulate", "statistics", "train", "train_process",
]  # fmt: skip

Job = Mapping[str, Any]
PREDICT_ROWS = 512  # rows a device scores at a time: past that a step no longer gets cheaper


def simulate(job: Job, *, output: str) -> None:
    """Simulate one ROOT file: a fixed number of accepted rows of one process."""
    section = job["section"]
    source = registry.build("simulations", section["source"])
    source.generate(
        section["process"],
        section["rows"],
        section["seed"],
        Path(output),
        progress(f"simulate {Path(output).stem}", "rows"),
        notes=_notes("simulate", job, section["seed"]),
    )


def index(job: Job, *, reader: Job, output: str) -> None:
    """Read the headers of a pack's files; refuse those that are damaged or lack a branch.

    reader: how the dataset's rows are read; every branch it names must be there. Files whose entry
    in an existing `output` is current are not opened.
    """
    from rootloom.rootio.catalogue import Catalogue, quarantine
    from rootloom.rootio.header import require

    section = job["section"]
    branches = _reader(reader).branches()
    known, catalogue = Catalogue.read(output), Catalogue()
    refusals: dict[str, InputError] = {}
    for key, file in section["files"].items():
        identity = of_value([file["identity"], section["tree"], job["code"]])
        try:
            header = known.header(key) if known.has(key, identity) else _inspect(job, file["url"])
            if header is None:
                catalogue.take(key, known)
                continue
            require(header, branches)
            catalogue.add(key, identity, header)
        except InputError as refusal:
            refusals[key] = refusal
            catalogue.set_aside(key, identity, str(refusal))
    quarantine(refusals, len(section["files"]), section["on_bad_file"])
    catalogue.write(output, provenance.record("index", dict(job)))


def _inspect(job: Job, url: str) -> Header:
    from rootloom.rootio.header import inspect

    header = inspect(url, job["section"]["tree"])
    print(f"{url}: {header.entries} entries, {len(header.branches)} branches")
    return header


def preprocess(job: Job, *, index: str, shards: Mapping[str, Sequence[str]], output: str) -> None:
    """Turn a pack's files into shards; those that are there and current are kept.

    shards: their paths, by file. A file that cannot be read does not keep the others from being
    done: it is refused, or set aside, at the end.
    """
    from rootloom.rootio.catalogue import Catalogue, quarantine
    from rootloom.rootio.staging import held
    from rootloom.shards.manifest import Entry, Manifest, relative

    section, catalogue = job["section"], Catalogue.read(index)
    representation = _representation(section)
    known = Manifest.read(output).files if Path(output).exists() else {}
    entries: dict[str, Entry] = {}
    refusals: dict[str, InputError] = {}
    for key, file in section["files"].items():
        started = time.perf_counter()
        one = [_shard_job(job, key, part) for part in range(section["parts"])]
        fingerprints = tuple(part["fingerprint"] for part in one)
        header, reason = catalogue.header(key), catalogue.reason(key)
        # A file stays aside until it changes or is retried: what follows was made without it.
        if key in known and known[key].quarantined and known[key].fingerprints == fingerprints:
            header, reason = None, known[key].quarantined
        made = False
        with held(file["url"]):
            for part, path in zip(one, shards[key], strict=True):
                try:
                    made |= _write_shard(part, representation, header, path)
                except InputError as refusal:
                    refusals[key], header, reason = refusal, None, str(refusal)
                    if section["on_bad_file"] == "fail":
                        break
                    _write_shard(part, representation, None, path)
        before = known[key].seconds if key in known else 0.0
        entries[key] = Entry(
            file["url"],
            header.size if header else _size(file["url"]),
            relative(shards[key], output),
            fingerprints,
            time.perf_counter() - started if made else before,
            reason,
        )
    quarantine(refusals, len(entries), section["on_bad_file"])
    Manifest(entries).write(output, provenance.record("preprocess", dict(job)))


def shard(job: Job, *, index: str, output: str) -> None:
    """Make one shard again that got lost after its pack was done."""
    from rootloom.rootio.catalogue import Catalogue

    (key,) = job["section"]["files"]
    one = _shard_job(job, key, job["section"]["part"])
    _write_shard(one, _representation(job["section"]), Catalogue.read(index).header(key), output)


def _shard_job(job: Job, key: str, part: int) -> dict[str, Any]:
    """The job of one shard, the same whether it is made with its pack or alone."""
    file = job["section"]["files"][key]
    section = {k: v for k, v in job["section"].items() if k not in ("files", "on_bad_file")}
    section |= {"file": key, "url": file["url"], "file_class": file["label"], "part": part}
    found = {"section": section, "code": job["code"], "upstream": file["identity"]}
    return {**found, "fingerprint": of_value(found)}


def _write_shard(job: Job, representation: Any, header: Header | None, output: str) -> bool:
    """One shard, without rows when its file was set aside; False when it was there and current."""
    from rootloom.shards.update import recipes, write_or_update

    section = job["section"]
    inputs = {section["file"]: header.checksum if header else "none"}
    made_by = provenance.read(Path(output))
    if made_by and (made_by["fingerprint"], made_by["inputs"]) == (job["fingerprint"], inputs):
        return False
    reader = _reader(section["reader"])
    objects = {name: tuple(columns) for name, columns in reader.objects.items()}
    needed = representation.needs(tuple(reader.variables), objects)
    record = provenance.record("preprocess", dict(job), inputs=inputs)
    read = write_or_update(
        Path(output),
        blocks=lambda columns: _blocks(section, reader, header, columns),
        representation=representation,
        recipe=recipes(representation, reader.expressions(needed), _context(job)),
        file_key=section["file"],
        splits=section["splits"],
        auxiliary=section["auxiliary"],
        attributes={"provenance": json.dumps(record, sort_keys=True)},
    )
    print(f"{output}: {read} columns read")
    return True


def _size(url: str) -> int:
    """Bytes of a file that could not be read; 0 of one behind a URL, or that is gone."""
    return Path(url).stat().st_size if Path(url).exists() else 0


def _context(job: Job) -> list[Any]:
    """What decides a shard beside the expressions and fields of its columns."""
    section = {k: v for k, v in job["section"].items() if k not in ("representation", "step")}
    reader = {k: v for k, v in section["reader"].items() if k not in ("variables", "objects")}
    auxiliary = {name: section["reader"]["variables"][name] for name in section["auxiliary"]}
    return [{**section, "reader": reader}, auxiliary, job["code"], job["upstream"]]


def _blocks(
    section: Job, reader: RowReader, header: Header | None, columns: Sequence[str]
) -> Iterator[RowBlock]:
    """Rows of a shard's range of entries; none of a file that was set aside."""
    from rootloom.rootio.header import entry_range

    if header is None:
        return
    start, stop = entry_range(header, section["part"], section["parts"])
    yield from reader.read(
        section["url"],
        start,
        stop,
        file_class=section["file_class"],
        columns=columns,
        step=section["step"],
    )


def moments(job: Job, *, manifest: str, output: str) -> None:
    """Sum the statistics of a pack's shards."""
    from rootloom.shards.manifest import shards_by_file
    from rootloom.shards.statistics import merge_all, merge_by_position, shard_statistics

    section = job["section"]
    representation, reweight = _representation(section), _reweight(section)
    files = [
        (
            position(key),
            merge_all(
                shard_statistics(
                    path,
                    representation,
                    classes=section["classes"],
                    reweights=[reweight] if reweight else [],
                )
                for path in shards
            ),
        )
        for key, shards in shards_by_file([manifest]).items()
    ]
    content = json.loads(merge_by_position(files).to_json())
    content["position"] = str(files[0][0])  # of any of its files: where the pack lies among packs
    _write_statistics(output, content, "moments", job)


def statistics(job: Job, *, moments: Sequence[str], output: str) -> None:
    """Merge the statistics of all packs; refuse a training split without rows."""
    from rootloom.shards.statistics import merge_by_position

    packs = ((int(json.loads(Path(p).read_text())["position"]), _statistics(p)) for p in moments)
    total = merge_by_position(list(packs))
    if not total.rows.sum():
        raise DataError(
            f"dataset '{job['section']['dataset']}'",
            expected="rows that pass the selection and belong to a class",
            found="none in any file",
            fix="loosen `select`, or check the expressions of the classes",
        )
    for number, split in enumerate(SPLITS):
        counts = dict(zip(total.classes, total.rows[number].tolist(), strict=True))
        print(f"{split}: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    _write_statistics(output, json.loads(total.to_json()), "statistics", job)


def train(
    job: Job,
    *,
    shards: Sequence[str],
    statistics: str,
    model: str,
    history: str,
    directory: str,
) -> None:
    """Train one member of a method, or go on where an interrupted training stopped.

    directory: checkpoints and logs of this very run, kept when the job fails. Raises Preempted
    after SIGTERM or SIGUSR1.
    """
    from rootloom.training import signals
    from rootloom.training.launch import Layout, launch
    from rootloom.training.lock import alone_in

    section = job["section"]
    arguments: dict[str, Any] = {
        "job": dict(job),
        "shards": list(shards),
        "statistics": statistics,
        "model": model,
        "history": history,
        "directory": directory,
    }
    with signals.leave_at_once(), alone_in(Path(directory)) as held:
        if section["nodes"] == 1:
            train_process(**arguments)
        else:
            layout = Layout(section["nodes"], section["threads"], section["gpus_per_node"])
            launch(arguments, Path(directory), layout, held=[held])


def train_process(
    job: Job,
    *,
    shards: Sequence[str],
    statistics: str,
    model: str,
    history: str,
    directory: str,
    membership: Job | None = None,
) -> None:
    """What each process of a training does; the lead one writes.

    membership: fields of `parallel.Member` when there are several processes. Raises ResourceError
    when the devices are not those that the experiment asks for.
    """
    from rootloom.training.devices import configure

    section = job["section"]
    configure(cpus=section["threads"])
    from rootloom.training import parallel
    from rootloom.training.loop import fit

    if membership is not None:
        parallel.join(parallel.Member(**membership))
    parallel.require(section["gpus_per_node"])
    parallel.connect()
    found = _statistics(statistics)
    options = _options(section)
    task = _task(section, found.moments)
    result = fit(
        task,
        *_loaders(section, shards, found, options),
        options,
        directory,
        fingerprint=job["fingerprint"],
    )
    if parallel.is_lead():
        _write_model(job, found, result, options.seed, model)
        write_text(history, result.history_lines())
    parallel.meet()


def _write_model(job: Job, found: Statistics, result: Result, seed: int, model: str) -> None:
    from rootloom.training import bundle

    section = job["section"]
    record = provenance.record("train", dict(job), seed=seed)
    bundle.save(
        model,
        bundle.Bundle(
            params=result.params,
            model=section["model"],
            representation=section["representation"],
            task=section["task"],
            statistics=json.loads(found.to_json()),
            classes=section["classes"],
            metrics=result.summary(),
            provenance=record,
        ),
    )


def predict(
    job: Job,
    *,
    model: str,
    shards: Sequence[str],
    statistics: str,
    outputs: Mapping[str, str],
) -> None:
    """Score every row of every split with a trained model; `outputs` by split."""
    from rootloom.training.devices import configure

    section = job["section"]
    configure(cpus=section["threads"])
    from rootloom.scoring import score_stream, write_predictions
    from rootloom.training import bundle

    trained = bundle.load(model)
    whole = {**section, **{k: getattr(trained, k) for k in ("model", "representation", "task")}}
    task = _task(whole, _moments(trained.statistics))
    found = _statistics(statistics)
    for split, present in zip(SPLITS, found.rows.sum(axis=1), strict=True):
        scores = _network_scores(task, trained.params, shards, split) if present else ()
        rows = write_predictions(
            getattr(outputs, split),
            _prediction_header(
                job,
                split,
                task.columns(),
                trained.metrics["parameters"],
                trained.metrics["seconds"],
            ),
            shards,
            _weights(section, found),
            score_stream(scores),
        )
        print(f"{section['method']}: {rows} rows of '{split}'")


def _network_scores(
    task: Any, params: Any, shards: Sequence[str], split: str
) -> Iterator[np.ndarray]:
    """Scores (r, C) of a split's rows, in the order of the shards."""
    from rootloom.batches.loader import Loader
    from rootloom.training import parallel
    from rootloom.training.predict import predict

    devices = parallel.device_count()
    loader = Loader(
        shards,
        task.representation,
        split,
        PREDICT_ROWS * devices,
        devices=devices,
        shuffle=False,
        cache_bytes=0,
    )
    for columns, _ in predict(task, params, loader):
        yield np.stack([columns[name] for name in task.columns()], axis=1)


def baseline(
    job: Job, *, shards: Sequence[str], statistics: str, outputs: Mapping[str, str]
) -> None:
    """Fit a baseline to the training split and score every row; `outputs` by split."""
    from rootloom.baselines.base import collect
    from rootloom.scoring import matrix, samples, stored_variables, write_predictions

    section = job["section"]
    recipe = registry.build("baselines", section["baseline"])
    variables = recipe.needs(stored_variables(shards))
    table = _weights(section, _statistics(statistics))
    number = section["classes"].index(_signal(section))
    train, validation = (
        collect(samples(shards, split, variables, table, number), recipe.max_rows)
        for split in SPLITS[:2]
    )
    started = time.perf_counter()
    fitted = recipe.fit(train, validation)
    seconds = time.perf_counter() - started
    print(f"{section['method']}: fitted to {len(train)} rows in {seconds:.1f} s")
    for split in SPLITS:
        write_predictions(
            getattr(outputs, split),
            _prediction_header(job, split, ("score",), fitted.parameters, seconds),
            shards,
            table,
            lambda columns, rows: fitted.score(matrix(columns, variables))[:, None],
            reads=[f"x.{name}" for name in variables],
        )


def friends(
    job: Job, *, predictions: Sequence[str], index: str, friends: Mapping[str, str], output: str
) -> None:
    """Write the friend trees of a pack's files: a branch a method and member.

    friends: their paths, by file.
    """
    _write_friends(job, predictions, index, friends)
    content = {"files": dict(friends), "provenance": provenance.record("friends", dict(job))}
    write_text(output, json.dumps(content, indent=1))


def friend(job: Job, *, predictions: Sequence[str], index: str, output: str) -> None:
    """Write one friend tree again that got lost after its pack was done."""
    (key,) = job["section"]["files"]
    _write_friends(job, predictions, index, {key: output})


def _write_friends(
    job: Job, predictions: Sequence[str], index: str, friends: Mapping[str, str]
) -> None:
    from rootloom.friends import Scores
    from rootloom.rootio.catalogue import Catalogue
    from rootloom.rootio.friends import write_friend

    reader, catalogue = _reader(job["section"]["reader"]), Catalogue.read(index)
    scores = Scores(predictions, list(friends))
    for key, output in friends.items():
        header = catalogue.header(key)
        entry, number, columns = scores.of(key)
        counts = None
        if header and reader.rows != "event":
            counts = reader.object_counts(header.url, 0, header.entries)
        write_friend(
            output,
            header.entries if header else 0,
            entry,
            number,
            columns,
            tree=f"{reader.tree}_scores",
            counts=counts,
            notes=_notes("friends", job),
        )


def evaluate(job: Job, *, predictions: Sequence[str], held_out: Sequence[str], output: str) -> None:
    """Metrics of one method over its members.

    held_out: predictions for the training split of members that each left a fold of it out.
    """
    from rootloom.evaluation.evaluate import EvaluationOptions
    from rootloom.evaluation.evaluate import evaluate as figures
    from rootloom.evaluation.significance import Counts

    options = dict(job["section"]["evaluation"])
    options["working_points"] = tuple(options["working_points"])
    options["significances"] = {n: Counts(**c) for n, c in options["significances"].items()}
    found = figures(predictions, EvaluationOptions(**options), held_out)
    record = provenance.record("evaluate", dict(job), seed=options["seed"])
    write_text(output, dataclasses.replace(found, provenance=record).to_json())


def report(
    job: Job,
    *,
    evaluations: Sequence[str],
    histories: Sequence[str],
    statistics: Sequence[str],
    manifests: Sequence[str],
    output: str,
    quarantined: str,
) -> None:
    """The report page, its figures, and the list of files that were set aside."""
    from rootloom.report.gather import gather
    from rootloom.report.page import write_report

    inputs = gather(
        {**job, "versions": provenance.record("report", {})},
        evaluations=evaluations,
        histories=histories,
        statistics=statistics,
        manifests=manifests,
    )
    aside = inputs.dataset.quarantined if inputs.dataset else {}
    content = {"files": dict(aside), "provenance": provenance.record("report", dict(job))}
    write_text(quarantined, json.dumps(content, indent=1))
    for path in write_report(output, inputs):
        print(path)


# -- what the stages share ----------------------------------------------------------------------


def _notes(stage: str, job: Job, seed: int | None = None) -> dict[str, str]:
    """The provenance of a ROOT file, as text beside its tree."""
    return {"provenance": json.dumps(provenance.record(stage, dict(job), seed=seed))}


def _representation(section: Job) -> Any:
    fields = {k: v for k, v in section["representation"].items() if k != "name"}
    return registry.build("representations", fields)


def _reader(section: Job) -> RowReader:
    from rootloom.rootio.dataset import ClassRule, RowReader

    classes = tuple(ClassRule(**rule) for rule in section["classes"])
    return RowReader(**{**section, "classes": classes})


def _statistics(path: str) -> Statistics:
    from rootloom.shards.statistics import Statistics

    return Statistics.from_json(Path(path).read_text())


def _moments(content: Job) -> Mapping[str, Any]:
    """Moments out of the statistics that a model carries."""
    from rootloom.shards.statistics import Statistics

    return Statistics.from_json(json.dumps(content)).moments


def _write_statistics(output: str, content: dict[str, Any], stage: str, job: Job) -> None:
    content["provenance"] = provenance.record(stage, dict(job))
    write_text(output, json.dumps(content, sort_keys=True))


def _options(section: Job) -> TrainingOptions:
    """Training options of a member: its number is added to the seed."""
    from pydantic import TypeAdapter

    from rootloom.training.options import TrainingOptions

    options = TypeAdapter(TrainingOptions).validate_python(section["training"])
    return dataclasses.replace(options, seed=options.seed + section["member"])


def _task(section: Job, moments: Mapping[str, Any]) -> Any:
    fields = {k: v for k, v in section["task"].items() if k != "kind"}
    return registry.resolve("tasks", section["task"]["kind"])(
        model=registry.build("models", section["model"]),
        representation=_representation(section),
        statistics=moments,
        classes=tuple(section["classes"]),
        **fields,
    )


def _loaders(
    section: Job,
    shards: Sequence[str],
    found: Statistics,
    options: TrainingOptions,
) -> tuple[Loader, Loader]:
    """Shuffled training batches and ordered validation batches, weighted alike."""
    from rootloom.batches.loader import Loader
    from rootloom.training import parallel

    weights = _weights(section, found)
    representation = _representation(section)
    train, validation = (
        Loader(
            shards,
            representation,
            split,
            options.batch_size,
            devices=parallel.all_devices(),
            share=parallel.share(),
            seed=options.seed,
            shuffle=split == SPLITS[0],
            weights=weights,
            draw=_draw(options, section["member"]) if split == SPLITS[0] else None,
        )
        for split in SPLITS[:2]
    )
    return train, validation


def _draw(options: TrainingOptions, member: int) -> Draw | None:
    """Which training rows a member sees; None: all of them."""
    from rootloom.batches.draws import OutsideFold, WithReplacement

    if options.folds:
        return OutsideFold(member, options.folds)
    return WithReplacement(options.seed) if options.bagging else None


def _reweight(section: Job) -> Reweight | None:
    from rootloom.shards.weights import Reweight

    return Reweight(**section["reweight"]) if section["reweight"] else None


def _weights(section: Job, found: Statistics) -> WeightTable:
    from rootloom.shards.weights import WeightTable

    return WeightTable.from_statistics(
        found,
        dataset=section["dataset"],
        balance=section["balance"],
        reweight=_reweight(section),
    )


def _signal(section: Job) -> str:
    return str(section["task"].get("signal") or section["classes"][-1])


def _prediction_header(
    job: Job,
    split: str,
    columns: Sequence[str],
    parameters: int,
    seconds: float,
) -> PredictionHeader:
    from rootloom.evaluation.predictions import Header as PredictionHeader

    section = job["section"]
    return PredictionHeader(
        method=section["method"],
        classes=tuple(section["classes"]),
        signal=_signal(section),
        columns=tuple(columns),
        experiment=section["experiment"],
        member=section["member"],
        split=split,
        parameters=parameters,
        training_seconds=seconds,
        provenance=provenance.record("predict", dict(job)),
    )
