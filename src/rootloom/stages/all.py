"""One typed function per rule: the only room that knows every room.

Each takes the rule's `job` (its configuration section and fingerprint, see
`rootloom.planning.plan`), the paths the rule declares, and leaves its outputs whole or not at
all. Imports are local to the functions: a job loads, and its fingerprint covers, only the rooms it
uses.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from rootloom.cluster.running import progress, running
from rootloom.config import registry
from rootloom.errors import (
    ChangedError,
    DataError,
    InputError,
    LackError,
    ResultError,
    require_fault_of_file,
)
from rootloom.shards.manifest import all_shards
from rootloom.system import provenance
from rootloom.system.atomic import of_result, read_json, sealed, sweep, write_json, write_text
from rootloom.system.filelist import File, files_of_job, states
from rootloom.system.hashing import of_value
from rootloom.system.packing import position
from rootloom.system.paths import of_file
from rootloom.types import GROUPS, SPLITS, UNLABELLED

if TYPE_CHECKING:
    from rootloom.rootio.dataset import RowReader
    from rootloom.rootio.header import Header
    from rootloom.rootio.origin import Events
    from rootloom.shards.statistics import Statistics
    from rootloom.shards.survey import Survey
    from rootloom.shards.weights import EventWeights, WeightTable
    from rootloom.stages.comparing import Sampling
    from rootloom.stages.friend_trees import Scores

__all__ = [
    "all_shards", "axes", "baseline", "branches", "evaluate", "fidelity", "floor", "friend",
    "friends", "generate", "index", "moments", "predict", "preprocess", "report", "running",
    "shard", "simulate", "spectra", "statistics", "survey", "train", "train_process",
]  # fmt: skip

Job = Mapping[str, Any]
Sums = TypeVar("Sums", "Statistics", "Survey")


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
    they name must be there and have the shape asked for. Files whose entry in an existing
    `output` is current are not opened. Raises ConfigError for two files with the same events and
    for expressions of another shape, ResourceError where the machine is at fault: then nothing is
    set aside.
    """
    from rootloom.rootio.catalogue import Catalogue, aside_before, quarantine
    from rootloom.rootio.header import events_of, require
    from rootloom.rootio.origin import require_distinct
    from rootloom.rootio.section import reader_of
    from rootloom.rootio.shapes import Shapes

    section, shapes = job["section"], Shapes()
    by_sample = {name: reader_of(fields) for name, fields in readers.items()}
    known = Catalogue.read(output) if _is_ours(output) else Catalogue()
    catalogue = Catalogue()
    refusals: dict[str, InputError] = {}
    headers = []
    files = files_of_job(listing, section["files"])
    for key, file in files.items():
        reader = by_sample[file.sample]
        identity = of_value([file.state, section["trees"][file.sample], job["code"]])
        # What a file lacks depends on what is asked of it.
        lacking = of_value([identity, readers[file.sample]])
        try:
            seen = known.has(key, identity) or known.has(key, lacking)
            header = known.header(key) if seen else _inspected(file, reader)
            if header is None:
                refusals |= aside_before(key, file.url, known.reason(key), section["on_bad_file"])
                catalogue.keep_aside(key, known)
                continue
            require(header, reader.fitted(header.all_branches(), file.url).branches())
            shapes.require(file, reader, header)
            catalogue.add(key, identity, header, file.sample)
            headers.append(header)
        except LackError as refusal:
            refusals[key] = refusal
            catalogue.set_aside_lacking(key, lacking, refusal, file.sample)
        except InputError as refusal:
            require_fault_of_file(refusal)
            refusals[key] = refusal
            catalogue.set_aside(key, identity, str(refusal))
    quarantine(refusals, len(files), section["on_bad_file"])
    require_distinct(map(events_of, headers))
    catalogue.write(output, provenance.record("index", dict(job), inputs=states(files)))


def _inspected(file: File, reader: RowReader) -> Header:
    """The headers of a file's tree and of its friends'."""
    from rootloom.rootio.header import inspect, require, with_friends

    header = with_friends(inspect(file.url, reader.tree), reader.beside(file.url, file.friends))
    if reader.sum_of_weights is not None:
        elsewhere, branch = reader.sum_of_weights
        require(inspect(file.url, elsewhere), [branch])
    print(f"{file.url}: {header.entries} entries, {len(header.branches)} branches")
    return header


def branches(job: Job, *, indexes: Sequence[str], output: str) -> None:
    """Refuse branches and trees that no file has, before files are set aside for them.

    It is the first to see all files.
    """
    from rootloom.rootio.catalogue import require_somewhere

    require_somewhere(indexes, f"dataset '{job['section']['dataset']}'")
    write_json(output, {"provenance": provenance.record("branches", dict(job))})


def preprocess(
    job: Job, *, listing: str, index: str, shards: str, changed: str, output: str
) -> None:
    """Turn a pack's files into shards; those that are there and current are kept.

    listing: the list of all files. shards: pattern of their paths. changed: pattern of the notes on
    files that are not those that were indexed. A file that cannot be read does not keep the others
    from being done: it is refused, or set aside, at the end. A disk without room does, and so do
    other faults of the machine (ResourceError).
    """
    from rootloom.rootio.catalogue import Catalogue, quarantine
    from rootloom.shards.manifest import Entry, Manifest
    from rootloom.stages.sharding import PackOfShards

    section = job["section"]
    files = files_of_job(listing, section["files"])
    known = Manifest.read(output).files if _is_ours(output) else {}
    pack = PackOfShards(job, Catalogue.read(index), known)
    entries: dict[str, Entry] = {}
    changes: dict[str, ChangedError] = {}
    for key, file in files.items():
        paths = [of_file(shards, key, part) for part in range(section["parts"])]
        try:
            entry = pack.entry(file, paths, output)
            entries |= {key: entry} if entry else {}
        except ChangedError as change:
            changes[key] = change
    _refuse_changed(changes, changed)
    quarantine(pack.refusals, len(files), section["on_bad_file"])
    record = provenance.record("preprocess", dict(job), inputs=states(files))
    Manifest(entries).write(output, record)


def shard(job: Job, *, index: str, changed: str, output: str) -> None:
    """Make one shard again that got lost after its pack was done.

    changed: as in `preprocess`. Raises InputError for a file that cannot be read any more, whatever
    `on_bad_file` says: what follows was made with it.
    """
    from rootloom.representations.section import representation_of
    from rootloom.rootio.catalogue import Catalogue
    from rootloom.stages.sharding import shard_job, write_shard

    section = job["section"]
    file = File(**section["file"])
    one = shard_job(job, file, section["part"])
    header = Catalogue.read(index).header(file.key)
    if header is None:
        raise ResultError(
            output,
            expected="a shard of a file that can be read",
            found=f"{file.url}, which was set aside",
            fix="start again: files that were set aside have no shards",
        )
    try:
        write_shard(one, representation_of(section), header, output)
    except ChangedError as change:
        _refuse_changed({file.key: change}, changed)


def moments(job: Job, *, manifest: str, output: str) -> None:
    """Sum the statistics of a pack's shards."""
    from rootloom.representations.section import representation_of
    from rootloom.shards.manifest import Manifest
    from rootloom.shards.reweight import Reweight
    from rootloom.shards.statistics import Statistics, shard_statistics

    section = job["section"]
    representation, classes = representation_of(section), section["classes"]
    reweights = [Reweight(**section["reweight"])] if section["reweight"] else []

    def of_shard(path: str) -> Statistics:
        return shard_statistics(path, representation, classes=classes, reweights=reweights)

    content = _sums_of_pack(manifest, of_shard, Statistics.empty(classes))
    content["events"] = [entry.events for entry in Manifest.read(manifest).files.values()]
    _write_statistics(output, content, "moments", job)


def statistics(
    job: Job, *, moments: Sequence[str], output: str, weighting: Job | None = None
) -> None:
    """Merge the statistics of all packs; refuse what no training or evaluation could work on.

    weighting: how weights follow from what shards hold, which decides whether the sums are refused
    and none of them; None: as they are.

    It is the first to see all files: two with the same events, in whatever packs, are refused.
    """
    from rootloom.rootio.origin import require_distinct
    from rootloom.shards.merging import merge_by_position
    from rootloom.shards.populated import require_populated
    from rootloom.shards.weights import Weighting

    found: list[Events | None] = []

    def packs() -> Iterator[tuple[int, Statistics]]:
        for path in moments:
            at, part, of_files = read_json(path, "the moments of a pack of files", _moments)
            found.extend(of_files)
            yield at, part

    total = merge_by_position(packs())
    events = [one for one in found if one]
    require_distinct(events)
    aside, files = len(found) - len(events), len(found)
    section = job["section"]
    if aside and not total.rows.sum():
        raise DataError(
            f"dataset '{section['dataset']}'",
            expected="rows that pass the selection and belong to a class",
            found=f"none in any file, {aside} of {files} files were set aside",
            fix="loosen `select`, or check the expressions of the classes and what the logs of "
            "`index` and `preprocess` say of the files; then `rootloom retry`, without which files "
            "that were set aside stay so",
        )
    for number, split in enumerate(SPLITS):
        counts = dict(zip(total.classes, total.rows[number].tolist(), strict=True))
        print(f"{split}: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    require_populated(
        total,
        dataset=section["dataset"],
        weighting=Weighting.of(weighting) if weighting else Weighting(),
        by_class=section["by_class"],
    )
    _write_statistics(output, total.content(), "statistics", job, _division(moments))


def axes(job: Job, *, shards: Sequence[str], output: str) -> None:
    """Choose the axes of the distributions of a representation's inputs."""
    from rootloom.representations.section import representation_of
    from rootloom.shards.survey import axes_of

    found = axes_of(shards, representation_of(job["section"]))
    content = {"axes": {name: edges.tolist() for name, edges in found.items()}}
    _write_statistics(output, content, "axes", job)


def spectra(job: Job, *, manifest: str, axes: str, output: str) -> None:
    """Sum over a pack's shards what a report shows of rows: distributions, images, examples."""
    from rootloom.representations.section import representation_of
    from rootloom.shards.survey import Survey, of_shard, read_axes

    section, edges = job["section"], read_axes(axes)
    representation, classes = representation_of(section), section["classes"]
    content = _sums_of_pack(
        manifest,
        lambda path: of_shard(path, representation, classes, edges),
        Survey.empty(classes, edges),
    )
    _write_statistics(output, content, "spectra", job)


def survey(job: Job, *, spectra: Sequence[str], output: str) -> None:
    """Merge what the packs say of the rows of a representation."""
    from rootloom.shards.merging import merge_by_position
    from rootloom.shards.survey import Survey

    def placed(content: Mapping[str, Any]) -> tuple[int, Survey]:
        return int(content["position"]), Survey.of_content(content)

    packs = (read_json(path, "the spectra of a pack of files", placed) for path in spectra)
    total = merge_by_position(packs)
    _write_statistics(output, total.content(), "survey", job, _division(spectra))


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
        sweep(Path(paths["model"]).parent)
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
    from rootloom.stages.networks import loaders_of, options_of, task_of, write_model
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
        *loaders_of(section, paths["shards"], weights, options, task),
        options,
        paths["directory"],
        fingerprint=job["fingerprint"],
    )
    if parallel.is_lead():
        write_model(job, found, result, options.seed, paths["model"])
        history = sealed(result.history_lines(), job["fingerprint"], lines=True)
        write_text(paths["history"], history)
    parallel.meet()


def predict(
    job: Job,
    *,
    model: str,
    shards: Sequence[str],
    statistics: str,
    outputs: Mapping[str, str],
) -> None:
    """Score every row with a trained model; `outputs` by split, and of the rows of no class."""
    from rootloom.training.devices import configure

    section = job["section"]
    configure(cpus=section["threads"])
    from rootloom.stages.networks import network_scores, task_in
    from rootloom.stages.scoring import header_of, rows_of, score_stream, write_predictions
    from rootloom.training import bundle

    trained = bundle.load(model)
    task = task_in(trained, model, section)
    found = _statistics(statistics)
    present = [*found.rows.sum(axis=1), rows_of(shards, UNLABELLED)]
    for split, some in zip(GROUPS, present, strict=True):
        scores = network_scores(task, trained.params, shards, split) if some else ()
        rows = write_predictions(
            getattr(outputs, split),
            header_of(
                job,
                split,
                task.columns(),
                trained.metrics["parameters"],
                trained.metrics["seconds"],
                probability=task.probability,
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
    from rootloom.stages import sampling

    generator = sampling.load_generator(model)
    request = sampling.Request(
        sampling.energies_of_split(shards, generator.task.representation, SPLITS[-1]),
        section["seed"],
        threshold=section["threshold"],
        tree=section["tree"],
    )
    notes = _notes("generate", job, section["seed"])
    what = f"generate {section['method']} {section['member']}"
    sampling.write_showers(output, generator, request, notes, progress(what, "examples"))


def baseline(
    job: Job, *, shards: Sequence[str], statistics: str, outputs: Mapping[str, str]
) -> None:
    """Fit a baseline to the training split and score the rows it is asked for.

    outputs: by split, and of the rows of no class. Each file has all rows of its split.
    """
    from rootloom.stages.scoring import (
        LearningData,
        header_of,
        signal_of,
        unscored,
        write_predictions,
    )

    section = job["section"]
    table = _weights(section, _statistics(statistics))
    truth = tuple(section["classes"]), signal_of(section), tuple(section["targets"])
    started = time.perf_counter()
    recipe = registry.build("baselines", section["baseline"])
    learned = recipe.learn(LearningData(shards, table, *truth))
    seconds = time.perf_counter() - started
    print(f"{section['method']}: fitted to {learned.rows} rows in {seconds:.1f} s")
    for split in GROUPS:
        asked = split in learned.splits
        write_predictions(
            getattr(outputs, split),
            header_of(
                job,
                split,
                learned.columns,
                learned.parameters,
                seconds,
                turned=learned.turned,
                probability=learned.probability,
            ),
            shards,
            table,
            learned.predict if asked else unscored(len(learned.columns)),
            reads=learned.reads if asked else (),
        )


def friends(
    job: Job,
    *,
    listing: str,
    predictions: Sequence[str],
    index: str,
    friends: str,
    changed: str,
    output: str,
) -> None:
    """Write the friend trees of a pack's files: branches of all methods and members.

    listing: the list of all files. friends: pattern of their paths. changed: as in `preprocess`.
    A file without a header in the index was set aside, and has none.
    """
    files = files_of_job(listing, job["section"]["files"])
    asked = {key: of_file(friends, key) for key in files}
    made = _write_friends(job, predictions, index, files, asked, changed)
    record = provenance.record("friends", dict(job), inputs=states(files))
    write_json(output, {"files": made, "provenance": record})


def friend(job: Job, *, predictions: Sequence[str], index: str, changed: str, output: str) -> None:
    """Write one friend tree again that got lost after its pack was done."""
    file = File(**job["section"]["file"])
    _write_friends(job, predictions, index, {file.key: file}, {file.key: output}, changed)


def _write_friends(
    job: Job,
    predictions: Sequence[str],
    index: str,
    files: Mapping[str, File],
    friends: Mapping[str, str],
    changed: str,
) -> dict[str, str]:
    """The paths that were written, by file."""
    from rootloom.rootio.catalogue import Catalogue
    from rootloom.rootio.friends import write_friend
    from rootloom.rootio.names import friend_tree, identifier
    from rootloom.rootio.section import reader_of
    from rootloom.stages.sharding import checksums_wanted

    section, catalogue = job["section"], Catalogue.read(index)
    experiment, made = section["experiment"], {}
    changes: dict[str, ChangedError] = {}
    readers = {name: reader_of(fields) for name, fields in section["readers"].items()}
    scores = _scores(section, predictions, list(friends))
    notes = {**_notes("friends", job), "legend": json.dumps(scores.legend(), indent=1)}
    for key, output in friends.items():
        header, reader = catalogue.header(key), readers[files[key].sample]
        if header is None:
            continue
        rows, counts = scores.of(key), None
        if reader.rows != "event":
            fitted = reader.fitted(header.all_branches(), header.url)
            beside = files[key].friends
            recipe = files[key].state if section["simulated"] else None
            wanted = checksums_wanted(header, recipe)
            try:
                counts = fitted.object_counts(
                    header.url, 0, header.entries, friends=beside, checksums=wanted
                )
            except ChangedError as change:
                changes[key] = change
                continue
        made[key] = output
        write_friend(
            output,
            header.entries,
            rows.entry,
            rows.object,
            rows.branches,
            friend_tree(reader.tree, experiment),
            collection=identifier(experiment),
            counts=counts,
            notes=notes,
        )
    _refuse_changed(changes, changed)
    return made


def _scores(section: Job, predictions: Sequence[str], keys: Sequence[str]) -> Scores:
    from rootloom.evaluation.predictions import require_named_split
    from rootloom.stages.friend_trees import Scores

    with of_result():
        for path in predictions:
            require_named_split(path)
        return Scores(predictions, keys, section["experiment"], section["folds"])


def evaluate(job: Job, *, predictions: Sequence[str], held_out: Sequence[str], output: str) -> None:
    """Metrics of one method over its members.

    held_out: predictions for the training split of members that each left a fold of it out.
    """
    from rootloom.evaluation.evaluate import evaluate as figures
    from rootloom.evaluation.predictions import require_named_split
    from rootloom.evaluation.results import write_result

    evaluator = registry.parse("evaluations", job["section"]["evaluation"])
    with of_result():
        for path in (*predictions, *held_out):
            require_named_split(path)
        found = figures(predictions, evaluator, held_out)
    record = provenance.record("evaluate", dict(job), seed=getattr(evaluator, "seed", None))
    write_result(output, dataclasses.replace(found, provenance=record))


def floor(job: Job, *, shards: Sequence[str], statistics: str, output: str) -> None:
    """Figures of real showers beside real ones, for all methods with their representation.

    shards: real showers: those of the test split are compared with as many of the training split.
    statistics: hold the sums by which samples are scaled to their cross sections.
    """
    from rootloom.evaluation.results import write_result
    from rootloom.stages.comparing import stored_showers

    evaluator, sampling = _comparison(job["section"])
    train, _, test = SPLITS
    events = _events(job["section"], _statistics(statistics))
    real = stored_showers(shards, test, sampling, events)
    other = stored_showers(shards, train, dataclasses.replace(sampling, rows=len(real)), events)
    record = provenance.record("floor", dict(job), seed=evaluator.seed)
    found = dataclasses.replace(evaluator.floor(real, other), provenance=record)
    write_result(output, found)


def fidelity(
    job: Job,
    *,
    showers: Sequence[str],
    models: Sequence[str],
    floor: str,
    shards: Sequence[str],
    statistics: str,
    output: str,
) -> None:
    """Figures of one method from the showers that its members made, beside real ones.

    showers: ROOT files by member; models: bundles by member. floor: what real showers beside real
    ones gave. shards: real showers, of which those of the test split are compared with.
    statistics: hold the sums by which samples are scaled to their cross sections.
    """
    from rootloom.evaluation.results import Evaluation, read_floor, write_result
    from rootloom.rootio.section import reader_of
    from rootloom.stages.comparing import stored_showers, stored_weights, written_showers
    from rootloom.training import bundle

    section = job["section"]
    evaluator, sampling = _comparison(section)
    reader, test = reader_of(section["reader"]), SPLITS[-1]
    events = _events(section, _statistics(statistics))
    real = stored_showers(shards, test, sampling, events)
    (label,) = section["classes"]
    # A generated shower stands for the row at whose energy it was made, and counts as much.
    weight = stored_weights(shards, test, events)
    with of_result():
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
    write_result(output, evaluation)
    print("\n".join(evaluation.result.lines()))


def _comparison(section: dict[str, Any]) -> tuple[Any, Sampling]:
    """The evaluator, and what it is given of each shower."""
    from rootloom.representations.section import representation_of
    from rootloom.stages.comparing import Sampling

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
    write_json(quarantined, content)
    for path in write_report(output, inputs):
        print(path)


# -- what the stages share ----------------------------------------------------------------------


def _refuse_changed(changes: Mapping[str, ChangedError], pattern: str) -> None:
    """Raise ChangedError if files are not those that were indexed, and leave a note on each.

    The next plan reads the notes (see `Files.changed`): it may see the same sizes and times.
    """
    for key, change in changes.items():
        if change.checksum:
            write_json(of_file(pattern, key), {"checksum": change.checksum})
    if len(changes) > 1:
        raise ChangedError(
            f"{len(changes)} files",
            expected="the files that were indexed",
            found="\n".join(str(change) for change in changes.values()),
            fix="start again, once the files are complete: they are then indexed anew",
        )
    for change in changes.values():
        raise change


def _notes(stage: str, job: Job, seed: int | None = None) -> dict[str, str]:
    """The provenance of a ROOT file, as text beside its tree."""
    return {"provenance": json.dumps(provenance.record(stage, dict(job), seed=seed))}


def _is_ours(output: str) -> bool:
    """Whether there is an output of an earlier run to go on from, of this version's format."""
    return provenance.fingerprint(Path(output)) is not None


def _sums_of_pack(manifest: str, of_shard: Callable[[str], Sums], empty: Sums) -> dict[str, Any]:
    """Sums over the shards of a pack as JSON data, with the place of the pack among all.

    empty: of no shard, where all files of the pack were set aside.
    """
    from rootloom.shards.manifest import shards_by_file
    from rootloom.shards.merging import merge_all, merge_by_position

    by_file = shards_by_file([manifest], verified=True)
    files = sorted((position(key), shards) for key, shards in by_file.items() if shards)
    sums = ((at, merge_all(map(of_shard, shards))) for at, shards in files)
    content = (merge_by_position(sums) if files else empty).content()
    # That of any of its files.
    return {**content, "position": str(position(next(iter(by_file))))}


def _division(packs: Sequence[str]) -> dict[str, str]:
    """Into how many packs the files were divided whose sums are merged, as a note on the inputs."""
    return {"packs": Path(packs[0]).stem.rpartition("-of-")[2]}


def _statistics(path: str) -> Statistics:
    from rootloom.shards.statistics import Statistics

    return Statistics.read(path)


def _moments(content: dict[str, Any]) -> tuple[int, Statistics, list[Events | None]]:
    """Where a pack lies among all, its statistics and the events of its files, set aside or not."""
    from rootloom.rootio.origin import Events
    from rootloom.shards.statistics import Statistics

    events = [Events(*one) if one else None for one in content["events"]]
    return int(content["position"]), Statistics.of_content(content), events


def _write_statistics(
    output: str,
    content: dict[str, Any],
    stage: str,
    job: Job,
    inputs: dict[str, Any] | None = None,
) -> None:
    content["provenance"] = provenance.record(stage, dict(job), inputs=inputs)
    write_json(output, content, indent=None)


def _events(section: Job, found: Statistics) -> EventWeights:
    from rootloom.shards.weights import Weighting

    return Weighting.of_events(section).events(found.samples)


def _weights(section: Job, found: Statistics) -> WeightTable:
    from rootloom.shards.weights import Weighting, WeightTable

    weighting = Weighting.of(section["weighting"])
    return WeightTable.from_statistics(found, dataset=section["dataset"], weighting=weighting)
