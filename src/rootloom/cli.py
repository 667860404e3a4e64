"""The command line `rootloom`, in addition to `snakemake`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import rootloom
from rootloom.errors import ConfigError, RootloomError
from rootloom.system import faults

if TYPE_CHECKING:
    from rootloom.rootio.header import Tree
    from rootloom.stages.conditions import Conditions
    from rootloom.stages.sampling import Generator

DECIDES_NO_VALUE = "tests/unit/test_fingerprint.py::test_what_decides_no_value_handles_no_arrays"

# Exit codes of a shell for a program that SIGPIPE or SIGINT ended.
EXIT_PIPE = 141
EXIT_INTERRUPT = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, or 1 after an error or a problem found."""
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except RootloomError as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # `rootloom … | head` reads no more; Python must not write the rest at its end, either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except KeyboardInterrupt:
        return EXIT_INTERRUPT
    except (OSError, MemoryError) as error:
        of_machine = faults.of_system(error, "this command")
        if of_machine is None:
            raise
        print(f"error: {of_machine}", file=sys.stderr)
        return 1


def _run(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command is not _submit:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    return int(options.command(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rootloom", description=rootloom.__doc__)
    parser.add_argument("--version", action="version", version=rootloom.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    doctor = _add(commands, "doctor", _doctor, "check the installation and this machine")
    doctor.add_argument("--profile", help="also submit a test job with a profile, such as slurm")
    doctor.add_argument("--gpu", action="store_true", help="request a GPU for that job")
    doctor.add_argument(
        "--patience", type=float, default=600, help="seconds to wait for that job (600)"
    )
    doctor.add_argument("--results", type=Path, default=Path("results"))

    submit = _add(commands, "submit", _submit, "run the head process (snakemake) as a batch job")
    submit.allow_abbrev = False  # other options are passed to Snakemake
    submit.usage = "rootloom submit --profile NAME [Snakemake's arguments]"
    submit.add_argument("--profile", required=True, help="for example slurm or htcondor")

    explain = _add(commands, "explain", _explain, "show what would run for a target, and why")
    explain.add_argument("target", nargs="?", default="all", help="a rule or an output file")
    explain.add_argument("--config", nargs="*", default=[], metavar="KEY=VALUE")

    inspect = _add(commands, "inspect", _inspect, "list the trees and branches of a ROOT file")
    inspect.add_argument("file", help="path or URL")
    inspect.add_argument("--tree", help="default: the only tree of the file")

    _add_import(commands)
    _add_convert(commands)

    rates = _add(
        commands, "rates", _rates, "measure the time per file, which decides the size of jobs"
    )
    rates.add_argument("--results", type=Path, default=Path("results"))

    retry = _add(commands, "retry", _retry, "try files again that were set aside")
    retry.add_argument("--config", nargs="*", default=[], metavar="KEY=VALUE")

    schema = _add(commands, "schema", _schema, "generate config/schema.json and two pages of docs")
    schema.add_argument("--check", action="store_true", help="only compare; fail if they differ")

    _add_apply(commands)
    _add_generate(commands)

    evaluate = _add(commands, "evaluate", _evaluate, "metrics of prediction files of any tagger")
    evaluate.add_argument(
        "predictions", nargs="+", type=Path, help="one HDF5 file per member (training)"
    )
    evaluate.add_argument(
        "--output", type=Path, help="JSON file for the results; default: print a summary"
    )
    return parser


def _add_import(commands):  # type: ignore[no-untyped-def]
    table = _add(commands, "import", _import, "turn a table into ROOT files")
    table.add_argument(
        "recipe", help="name of a file in config/tables, which describes the columns"
    )
    table.add_argument(
        "table", type=Path, help="NAME.csv or .tsv, with or without .gz, .parquet, .h5 or .npz"
    )
    table.add_argument("output", type=Path, help="new folder for the ROOT files")
    table.add_argument("--rows-per-file", type=int, default=1_000_000, metavar="N")


def _add_convert(commands):  # type: ignore[no-untyped-def]
    text = "turn another program's description of data into files of config/"
    convert = commands.add_parser("convert", help=text, description=text[0].upper() + text[1:])
    kinds = convert.add_subparsers(required=True, metavar="KIND")
    weaver = _add(kinds, "weaver", _convert_weaver, "convert a data configuration of weaver-core")
    weaver.add_argument("file", type=Path, metavar="DATA.yaml")
    weaver.add_argument(
        "-i", "--data-train", nargs="+", default=[], metavar="FILES",
        help="files for training, validation and test: paths, globs, URLs, or NAME:FILES",
    )  # fmt: skip
    weaver.add_argument(
        "-t", "--data-test", nargs="+", default=[], metavar="FILES", help="more files for a test"
    )
    weaver.add_argument("--tree", help="name of the tree; default: treename, or a file's only tree")
    weaver.add_argument("--name", help="of the files to be written; default: that of DATA.yaml")
    weaver.add_argument("--output", type=Path, metavar="FOLDER", help="in place of config/")
    weaver.add_argument(
        "--classes", nargs="+", default=[], metavar="NAME",
        help="classes with the values 0, 1, … of a custom label",
    )  # fmt: skip
    weaver.add_argument(
        "--regression-mode", action="store_true", help="custom labels are numbers to be predicted"
    )


def _add_apply(commands):  # type: ignore[no-untyped-def]
    apply = _add(commands, "apply", _apply, "score files with a trained method")
    apply.add_argument(
        "bundle", type=Path, help="results/EXPERIMENT/bundles/METHOD.safetensors of a run"
    )
    apply.add_argument(
        "files", nargs="+", metavar="FILE.root", help="paths, globs in quotes, or URLs"
    )
    apply.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER",
        help="for a friend tree and an HDF5 file of predictions of each file",
    )  # fmt: skip
    apply.add_argument(
        "--format",
        choices=("ttree", "rntuple"),
        default="ttree",
        help="of the friend trees (ttree)",
    )
    apply.add_argument(
        "--sample", metavar="NAME", help="read files as those of this sample of the training"
    )
    apply.add_argument("--threads", type=int, default=1, help="CPU cores (1)")


def _add_generate(commands):  # type: ignore[no-untyped-def]
    generate = _add(
        commands, "generate", _generate, "write examples of a trained generator to a ROOT file"
    )
    generate.add_argument("model", type=Path, help="the generator's model.safetensors")
    generate.add_argument("--output", type=Path, required=True, metavar="FILE.root")
    generate.add_argument(
        "--rows", type=int, metavar="N", help="number of examples; default: all entries of FILE"
    )
    asked = generate.add_mutually_exclusive_group()
    asked.add_argument(
        "--condition", nargs=3, action="append", default=[], metavar=("NAME", "LOW", "HIGH"),
        help="generate for uniform values of this condition, in its unit; default: the range of "
        "the training",
    )  # fmt: skip
    asked.add_argument(
        "--energy", nargs=2, metavar=("LOW", "HIGH"),
        help="GeV, for showers: short for --condition energy LOW HIGH",
    )  # fmt: skip
    asked.add_argument(
        "--like", "--energies", metavar="FILE.root[:EXPRESSION]",
        help="one example for each entry, with its condition: an expression of branches, or "
        "several with ; between them, one for each condition; default: the names of the conditions",
    )  # fmt: skip
    generate.add_argument(
        "--seed", type=int, default=1, help="random seed of conditions and examples (1)"
    )
    generate.add_argument(
        "--threshold", type=float,
        help="leave out shower cells (GeV) or image pixels at or below this value (0)",
    )  # fmt: skip
    generate.add_argument(
        "--batch", type=int, default=256, help="examples per device at a time (256)"
    )
    generate.add_argument("--threads", type=int, default=1, help="CPU cores (1)")


def _add(commands, name, function, text):  # type: ignore[no-untyped-def]
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("--root", type=Path, default=_root(), help=argparse.SUPPRESS)
    parser.set_defaults(command=function)
    return parser


def _root() -> Path:
    """The checkout: the current folder if it has a Snakefile, else that of the package."""
    here = Path.cwd()
    return here if (here / "Snakefile").exists() else Path(__file__).resolve().parents[2]


def _doctor(options: argparse.Namespace) -> int:
    from rootloom.cluster.doctor import examine

    worst = 0
    root, asked = options.root, {"gpu": options.gpu, "patience": options.patience}
    for finding in examine(root, options.results, options.profile, **asked):
        print(f"{finding.level:8} {finding.check:14} {finding.text}", flush=True)
        worst |= finding.level == "problem"
    return worst


def _submit(options: argparse.Namespace) -> int:
    from rootloom.cluster.submit import read_profile, submit

    print(
        "\n".join(submit(options.root, read_profile(options.root, options.profile), options.rest))
    )
    return 0


def _explain(options: argparse.Namespace) -> int:
    from rootloom.planning.explain import explain, settings
    from rootloom.stages import make_plan

    plan = make_plan(settings(options.root, options.config), options.root)
    lines = explain(plan, options.target, options.config)
    print("\n".join(lines))
    return 0


def _inspect(options: argparse.Namespace) -> int:
    from rootloom.rootio.header import inspect, survey

    tree = options.tree
    if tree is None:
        found = survey(options.file)
        if len(found) != 1:
            print("\n".join(_trees(options.file, found)))
            return 0 if found else 1
        tree = found[0].name
    header = inspect(options.file, tree)
    print(f"{options.file}: {header.container} '{tree}', {header.entries} entries")
    for name, kind in sorted(header.branches.items()):
        print(f"  {name:40} {kind}")
    return 0


def _trees(file: str, found: Sequence[Tree]) -> list[str]:
    """The trees of a file, one line each, and how to list the branches of one."""
    if not found:
        return [f"{file}: no TTree and no RNTuple"]
    lines = [f"{file}: {len(found)} trees"]
    for tree in found:
        cycles = f", cycles {', '.join(map(str, tree.cycles))}" if len(tree.cycles) > 1 else ""
        what = tree.problem or f"{tree.entries} entries, {tree.branches} branches"
        lines.append(f"  {tree.name:40} {tree.container:8} {what}{cycles}")
    widest = max(found, key=lambda tree: tree.branches).name
    lines += [
        f"branches and types of a tree: rootloom inspect {quote(file)} --tree {quote(widest)}",
        f"to use a tree: write tree: {widest} in a file of config/datasets",
    ]
    return lines


def _import(options: argparse.Namespace) -> int:
    from rootloom.config.sections import Library
    from rootloom.rootio.tables import import_table

    recipe = Library(options.root / "config").table(options.recipe)
    written = import_table(
        options.table,
        recipe,
        options.output,
        rows_per_file=options.rows_per_file,
        progress=lambda rows: print(f"{rows} rows", flush=True),
    )
    print(*written, sep="\n")
    return 0


def _convert_weaver(options: argparse.Namespace) -> int:
    from rootloom.config.sections import Library
    from rootloom.convert.weaver.convert import Request, convert, write
    from rootloom.system.paths import check_name

    name = options.name or options.file.name.removesuffix(".yaml").replace(".auto", "")
    check_name(name, "--name")
    request = Request(
        name,
        train=[_without_group(text) for text in options.data_train],
        test=[_without_group(text) for text in options.data_test],
        tree=options.tree,
        classes=options.classes,
        numbers=options.regression_mode,
    )
    converted = convert(options.file, request)
    config = options.root / "config"
    written = write(converted, Library(config), options.output or config, options.file.name)
    print(*written, *(f"note: {note}" for note in converted.notes), sep="\n")
    print(f"next: snakemake --dry-run --config experiment={name}")
    return 0


def _without_group(text: str) -> str:
    """Files without the name of a group in front, which weaver-core reads in turn: NAME:FILES."""
    name, colon, files = text.partition(":")
    return files if colon and "/" not in name and not files.startswith("//") else text


def _rates(options: argparse.Namespace) -> int:
    from rootloom.config.sections import Library
    from rootloom.planning import rates

    path = options.root / "config" / "rates.yaml"
    found = rates.measure(options.results, Library(options.root / "config").rates())
    rates.write(path, found)
    print(path.read_text(), end="")
    return 0


def _retry(options: argparse.Namespace) -> int:
    from rootloom.planning.explain import settings
    from rootloom.stages import make_plan

    plan = make_plan(settings(options.root, options.config), options.root)
    keys = [key for data in plan.datasets for key in plan.files(data.name).retry()]
    print(f"{len(keys)} files will be looked at again in the next run", *keys, sep="\n")
    return 0


def _schema(options: argparse.Namespace) -> int:
    import json

    from rootloom.config import schema
    from rootloom.rootio.functions import reference

    path, text = options.root / "config" / "schema.json", schema.text()
    made = {path: text, **reference.pages(options.root, json.loads(text))}
    stale = [p for p, content in made.items() if not p.exists() or p.read_text() != content]
    for one in stale:
        if not options.check:
            one.write_text(made[one])
    if options.check:
        for one in made:
            print(
                f"{one.name} is {'not current: run rootloom schema' if one in stale else 'current'}"
            )
    return 1 if options.check and stale else 0


def _generate(options: argparse.Namespace) -> int:
    from rootloom.training.devices import configure

    configure(cpus=options.threads)
    from rootloom.cluster.running import progress
    from rootloom.stages import sampling
    from rootloom.system.atomic import require_absent

    require_absent(options.output)
    generator = sampling.load_generator(options.model)
    given = {"seed": options.seed}
    if options.threshold is not None:
        given["threshold"] = options.threshold
    request = sampling.Request(
        _conditions(options, generator),
        sampling.options_of(generator.representation, given),
        batch=options.batch,
    )
    notes = sampling.notes_of(options.model, generator, request)
    report = progress(f"generate {options.output.stem}", f"{generator.noun}s")
    sampling.write_examples(options.output, generator, request, notes, report)
    print(options.output)
    return 0


def _apply(options: argparse.Namespace) -> int:
    from rootloom.training.devices import configure

    configure(cpus=options.threads)
    from rootloom.stages.applying import Request, apply
    from rootloom.stages.scorers import Scorer

    request = Request(options.files, options.output, options.sample, options.format)
    found = apply(Scorer.load(options.bundle), request)
    for outputs in found.written.values():
        print(*outputs, sep="\n")
    for refusal in found.refused.values():
        print(f"error: {refusal}", file=sys.stderr)
    if found.refused:
        done, names = len(found.written), ", ".join(found.refused)
        print(f"{done} files scored, {len(found.refused)} not: {names}", file=sys.stderr)
    return 1 if found.refused else 0


def _conditions(options: argparse.Namespace, generator: Generator) -> Conditions:
    """What `rootloom generate` is asked to make examples to."""
    from rootloom.stages.conditions import conditions_of_file, even_conditions

    representation = generator.representation
    if options.like:
        return conditions_of_file(representation, options.like, options.rows)
    named = [*options.condition, *([["energy", *options.energy]] if options.energy else [])]
    ranges = {name: (_number(name, low), _number(name, high)) for name, low, high in named}
    trained = generator.trained
    return even_conditions(representation, trained, ranges, options.rows, options.seed)


def _number(name: str, text: str) -> float:
    """A number of the command line."""
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"generate: {name}", expected="a number", found=f"'{text}'") from None


def _evaluate(options: argparse.Namespace) -> int:
    from rootloom.evaluation.evaluate import evaluate
    from rootloom.evaluation.results import write_result
    from rootloom.report.tables import with_reason

    found = evaluate(options.predictions)
    if options.output:
        write_result(options.output, found)
        return 0
    print("\n".join([*found.statistics_lines(), *found.result.lines(with_reason)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
