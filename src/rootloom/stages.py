"""One typed function per rule: the only room that knows every room.

Each takes the rule's `job` (its configuration section and fingerprint, see `rootloom.plan`), the
paths the rule declares, and leaves its outputs whole or not at all. Imports are local to the
functions: a job loads, and its fingerprint covers, only the rooms it uses.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from rootloom import provenance, registry
from rootloom.errors import DataError, InputError
from rootloom.fileio import write_text
from rootloom.filelist import File, files_of_job, states
from rootloom.fingerprint import of_value
from rootloom.packing import position
from rootloom.paths import of_file
from rootloom.running import progress, running
from rootloom.shards.manifest import all_shards
from rootloom.types import SPLITS

if TYPE_CHECKING:
    from rootloom.shards.statistics import Statistics
    from rootloom.shards.weights import WeightTable
    from rootloom.showers import Sampling

__all__ = [
    "all_shards", "baseline", "evaluate", "fidelity", "floor", "friend", "friends", "generate",
    "index", "moments", "predict", "preprocess", "report", "running", "shard", "simulate",
    "statistics", "survey", "train", "train_process",
]  # fmt: skip

Job = Mapping[str, Any]


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


def index(job: Job, *, listing: str, readers: Mapping[str, Job], output: str) -> None:
    """Read the headers of a pack's files; refuse those that are damaged or lack a branch.

    listing: the list of all files. readers: how the rows of each sample are read; every branch
    they name must be there. Files whose entry in an existing `output` is current are not opened.
    Raises ConfigError for two files with the same events.
    """
    from rootloom.rootio.catalogue import Catalogue, quarantine
    from rootloom.rootio.header import events_of, inspect, require
    from rootloom.rootio.origin import require_distinct
    from rootloom.sections import reader_of

    section = job["section"]
    by_sample = {name: reader_of(fields) for name, fields in readers.items()}
    known, catalogue = Catalogue.read(output), Catalogue()
    refusals: dict[str, InputError] = {}
    headers = []
    files = files_of_job(listing, section["files"])
    for key, file in files.items():
        reader = by_sample[file.sample]
        identity = of_value([file.state, section["trees"][file.sample], job["code"]])
        try:
            if known.has(key, identity):
                header = known.header(key)
            else:
                header = inspect(file.url, reader.tree)
                if reader.sum_of_weights is not None:
                    elsewhere, branch = reader.sum_of_weights
                    require(inspect(file.url, elsewhere), [branch])
                print(f"{file.url}: {header.entries} entries, {len(header.branches)} branches")
            if header is None:
                catalogue.set_aside(key, identity, known.reason(key) or "")
                continue
            require(header, reader.fitted(header.branches).branches())
            catalogue.add(key, identity, header)
            headers.append(header)
        except InputError as refusal:
            refusals[key] = refusal
            catalogue.set_aside(key, identity, str(refusal))
    quarantine(refusals, len(files), section["on_bad_file"])
    require_distinct(map(events_of, headers))
    catalogue.write(output, provenance.record("index", dict(job), inputs=states(files)))


def preprocess(job: Job, *, listing: str, index: str, shards: str, output: str) -> None:
    """Turn a pack's files into shards; those that are there and current are kept.

    listing: the list of all files. shards: pattern of their paths. A file that cannot be read does
    not keep the others from being done: it is refused, or set aside, at the end.
    """
    from rootloom.rootio.catalogue import Catalogue, quarantine
    from rootloom.sharding import PackOfShards
    from rootloom.shards.manifest import Manifest

    section = job["section"]
    files = files_of_job(listing, section["files"])
    known = Manifest.read(output).files if Path(output).exists() else {}
    pack = PackOfShards(job, Catalogue.read(index), known)
    entries = {}
    for key, file in files.items():
        paths = [of_file(shards, key, part) for part in range(section["parts"])]
        entries[key] = pack.entry(file, paths, output)
    quarantine(pack.refusals, len(entries), section["on_bad_file"])
    record = provenance.record("preprocess", dict(job), inputs=states(files))
    Manifest(entries).write(output, record)


def shard(job: Job, *, index: str, output: str) -> None:
    """Make one shard again that got lost after its pack was done."""
    from rootloom.rootio.catalogue import Catalogue
    from rootloom.sections import representation_of
    from rootloom.sharding import shard_job, write_shard

    section = job["section"]
    file = File(**section["file"])
    one = shard_job(job, file, section["part"])
    header = Catalogue.read(index).header(file.key)
    write_shard(one, representation_of(section), header, output)


def moments(job: Job, *, manifest: str, output: str) -> None:
    """Sum the statistics of a pack's shards."""
    from rootloom.sections import representation_of
    from rootloom.shards.manifest import Manifest, shards_by_file
    from rootloom.shards.reweight import Reweight
    from rootloom.shards.statistics import merge_all, merge_by_position, shard_statistics

    section = job["section"]
    representation = representation_of(section)
    reweights = [Reweight(**section["reweight"])] if section["reweight"] else []
    files = [
        (
            position(key),
            merge_all(
                shard_statistics(
                    path,
                    representation,
                    classes=section["classes"],
                    reweights=reweights,
                )
                for path in shards
            ),
        )
        for key, shards in shards_by_file([manifest]).items()
    ]
    content = json.loads(merge_by_position(files).to_json())
    content["position"] = str(files[0][0])  # of any of its files: where the pack lies among packs
    content["events"] = [entry.events for entry in Manifest.read(manifest).files.values()]
    _write_statistics(output, content, "moments", job)


def statistics(job: Job, *, moments: Sequence[str], output: str) -> None:
    """Merge the statistics of all packs; refuse a training split without rows.

    It is the first to see all files: two with the same events, in whatever packs, are refused.
    """
    from rootloom.rootio.origin import Events, require_distinct
    from rootloom.shards.statistics import merge_by_position

    packs, events = [], []
    for path in moments:
        content = json.loads(Path(path).read_text())
        packs.append((int(content["position"]), _statistics(path)))
        events += [Events(*one) for one in content["events"] if one]
    require_distinct(events)
    total = merge_by_position(packs)
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


def survey(job: Job, *, shards: Sequence[str], output: str) -> None:
    """What the rows of a representation look like: distributions of inputs, images, examples."""
    from rootloom.sections import representation_of
    from rootloom.shards.survey import survey as surveyed

    section = job["section"]
    found = surveyed(shards, representation_of(section), section["classes"])
    _write_statistics(output, json.loads(found.to_json()), "survey", job)


class TrainingPaths(TypedDict):
    """Files of a training. directory: checkpoints and logs, kept when the job fails."""

    shards: list[str]
    statistics: str
    model: str
    history: str
    directory: str


def train(job: Job, **paths: Unpack[TrainingPaths]) -> None:
    """Train one member of a method, or go on where an interrupted training stopped.

    Raises Preempted after SIGTERM or SIGUSR1.
    """
    from rootloom.training import signals
    from rootloom.training.launch import Layout, launch
    from rootloom.training.lock import alone_in

    section, directory = job["section"], Path(paths["directory"])
    with signals.leave_at_once(), alone_in(directory) as held:
        if section["nodes"] == 1:
            train_process(job, **paths)
        else:
            layout = Layout(section["nodes"], section["threads"], section["gpus_per_node"])
            launch({"job": dict(job), **paths}, directory, layout, held=[held])


def train_process(
    job: Job, *, membership: Job | None = None, **paths: Unpack[TrainingPaths]
) -> None:
    """What each process of a training does; the lead one writes.

    membership: fields of `parallel.Member` when there are several processes. Raises ResourceError
    when the devices are not those that the experiment asks for.
    """
    from rootloom.training.devices import configure

    section = job["section"]
    configure(cpus=section["threads"])
    from rootloom.networks import loaders_of, options_of, task_of, write_model
    from rootloom.training import parallel
    from rootloom.training.loop import fit

    if membership is not None:
        parallel.join(parallel.Member(**membership))
    parallel.require(section["gpus_per_node"])
    parallel.connect()
    found = _statistics(paths["statistics"])
    options, weights = options_of(section), _weights(section, found)
    if parallel.is_lead():
        print("".join(f"reweighting: {line}\n" for line in weights.shortfalls()), end="")
    task = task_of(section, found.moments)
    result = fit(
        task,
        *loaders_of(section, paths["shards"], weights, options, task.targets),
        options,
        paths["directory"],
        fingerprint=job["fingerprint"],
    )
    if parallel.is_lead():
        write_model(job, found, result, options.seed, paths["model"])
        write_text(paths["history"], result.history_lines())
    parallel.meet()


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
    from rootloom.networks import moments_of, network_scores, task_of
    from rootloom.scoring import header_of, score_stream, write_predictions
    from rootloom.training import bundle

    trained = bundle.load(model)
    whole = {**section, **{k: getattr(trained, k) for k in ("model", "representation", "task")}}
    task = task_of(whole, moments_of(trained))
    found = _statistics(statistics)
    for split, present in zip(SPLITS, found.rows.sum(axis=1), strict=True):
        scores = network_scores(task, trained.params, shards, split) if present else ()
        rows = write_predictions(
            getattr(outputs, split),
            header_of(
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


def generate(job: Job, *, model: str, shards: Sequence[str], output: str) -> None:
    """Make an example like each of the test split's, at the same conditions, in their order."""
    from rootloom.training.devices import configure

    section = job["section"]
    configure(cpus=section["threads"])
    from rootloom import generation

    generator = generation.load_generator(model)
    request = generation.Request(
        generation.energies_of_split(shards, generator.task.representation, SPLITS[-1]),
        section["seed"],
        threshold=section["threshold"],
        tree=section["tree"],
    )
    notes = _notes("generate", job, section["seed"])
    what = f"generate {section['method']} {section['member']}"
    generation.write_showers(output, generator, request, notes, progress(what, "examples"))


def baseline(
    job: Job, *, shards: Sequence[str], statistics: str, outputs: Mapping[str, str]
) -> None:
    """Fit a baseline to the training split and score the rows it is asked for; `outputs` by split.

    Each file has all rows of its split.
    """
    from rootloom.scoring import LearningData, header_of, signal_of, unscored, write_predictions

    section = job["section"]
    table = _weights(section, _statistics(statistics))
    truth = tuple(section["classes"]), signal_of(section), tuple(section["targets"])
    started = time.perf_counter()
    recipe = registry.build("baselines", section["baseline"])
    learned = recipe.learn(LearningData(shards, table, *truth))
    seconds = time.perf_counter() - started
    print(f"{section['method']}: fitted to {learned.rows} rows in {seconds:.1f} s")
    for split in SPLITS:
        asked = split in learned.splits
        write_predictions(
            getattr(outputs, split),
            header_of(job, split, learned.columns, learned.parameters, seconds),
            shards,
            table,
            learned.predict if asked else unscored(len(learned.columns)),
            reads=learned.reads if asked else (),
        )


def friends(
    job: Job, *, listing: str, predictions: Sequence[str], index: str, friends: str, output: str
) -> None:
    """Write the friend trees of a pack's files: a branch a method and member.

    listing: the list of all files. friends: pattern of their paths.
    """
    files = files_of_job(listing, job["section"]["files"])
    made = {key: of_file(friends, key) for key in files}
    _write_friends(job, predictions, index, files, made)
    record = provenance.record("friends", dict(job), inputs=states(files))
    write_text(output, json.dumps({"files": made, "provenance": record}, indent=1))


def friend(job: Job, *, predictions: Sequence[str], index: str, output: str) -> None:
    """Write one friend tree again that got lost after its pack was done."""
    file = File(**job["section"]["file"])
    _write_friends(job, predictions, index, {file.key: file}, {file.key: output})


def _write_friends(
    job: Job,
    predictions: Sequence[str],
    index: str,
    files: Mapping[str, File],
    friends: Mapping[str, str],
) -> None:
    from rootloom.friends import Scores
    from rootloom.rootio.catalogue import Catalogue
    from rootloom.rootio.friends import write_friend
    from rootloom.sections import reader_of

    catalogue = Catalogue.read(index)
    readers = {name: reader_of(fields) for name, fields in job["section"]["readers"].items()}
    scores = Scores(predictions, list(friends))
    for key, output in friends.items():
        header, reader = catalogue.header(key), readers[files[key].sample]
        entry, number, columns = scores.of(key)
        counts = None
        if header and reader.rows != "event":
            fitted = reader.fitted(header.branches)
            counts = fitted.object_counts(header.url, 0, header.entries)
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
    from rootloom.evaluation.evaluate import evaluate as figures

    evaluator = registry.parse("evaluations", job["section"]["evaluation"])
    found = figures(predictions, evaluator, held_out)
    record = provenance.record("evaluate", dict(job), seed=getattr(evaluator, "seed", None))
    write_text(output, dataclasses.replace(found, provenance=record).to_json())


def floor(job: Job, *, shards: Sequence[str], output: str) -> None:
    """Figures of real showers beside real ones, for all methods with their representation.

    shards: real showers: those of the test split are compared with as many of the training split.
    """
    from rootloom.evaluation.results import to_json
    from rootloom.showers import stored_showers

    evaluator, sampling = _comparison(job["section"])
    train, _, test = SPLITS
    real = stored_showers(shards, test, sampling)
    other = stored_showers(shards, train, dataclasses.replace(sampling, rows=len(real)))
    record = provenance.record("floor", dict(job), seed=evaluator.seed)
    found = dataclasses.replace(evaluator.floor(real, other), provenance=record)
    write_text(output, to_json(found))


def fidelity(
    job: Job,
    *,
    showers: Sequence[str],
    models: Sequence[str],
    floor: str,
    shards: Sequence[str],
    output: str,
) -> None:
    """Figures of one method from the showers that its members made, beside real ones.

    showers: ROOT files by member; models: bundles by member. floor: what real showers beside real
    ones gave. shards: real showers, of which those of the test split are compared with.
    """
    from rootloom.evaluation.results import Evaluation, read_floor
    from rootloom.sections import reader_of
    from rootloom.showers import stored_showers, stored_weights, written_showers
    from rootloom.training import bundle

    section = job["section"]
    evaluator, sampling = _comparison(section)
    reader, test = reader_of(section["reader"]), SPLITS[-1]
    real = stored_showers(shards, test, sampling)
    (label,) = section["classes"]
    # A generated shower stands for the row at whose energy it was made, and counts as much.
    weight = stored_weights(shards, test)
    made = [written_showers(path, reader, label, sampling, weight) for path in showers]
    metrics = [bundle.load(path).metrics for path in models]
    layers = sampling.representation.layers
    evaluation = Evaluation(
        experiment=section["experiment"],
        method=section["method"],
        split=test,
        classes=(label,),
        members=tuple(section["members"]),
        parameters=metrics[0]["parameters"],
        training_seconds=sum(m["seconds"] for m in metrics) / len(metrics),
        rows={label: len(real)},
        weights={label: float(real.weight.sum())},
        result=evaluator.result(real, read_floor(Path(floor)), made, layers),
        provenance=provenance.record("fidelity", dict(job), seed=evaluator.seed),
    )
    write_text(output, evaluation.to_json())
    print("\n".join(evaluation.result.lines()))


def _comparison(section: dict[str, Any]) -> tuple[Any, Sampling]:
    """The evaluator, and what it is given of each shower."""
    from rootloom.sections import representation_of
    from rootloom.showers import Sampling

    evaluator = registry.parse("evaluations", section["evaluation"])
    representation, features = representation_of(section), tuple(section["features"])
    return evaluator, Sampling(representation, features, evaluator.max_rows, evaluator.seed)


def report(
    job: Job,
    *,
    evaluations: Sequence[str],
    histories: Sequence[str],
    statistics: Sequence[str],
    surveys: Sequence[str],
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
        surveys=surveys,
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


def _statistics(path: str) -> Statistics:
    from rootloom.shards.statistics import Statistics

    return Statistics.from_json(Path(path).read_text())


def _write_statistics(output: str, content: dict[str, Any], stage: str, job: Job) -> None:
    content["provenance"] = provenance.record(stage, dict(job))
    write_text(output, json.dumps(content, sort_keys=True))


def _weights(section: Job, found: Statistics) -> WeightTable:
    from rootloom.shards.weights import Weighting, WeightTable

    weighting = Weighting.of(section["weighting"])
    return WeightTable.from_statistics(found, dataset=section["dataset"], weighting=weighting)
