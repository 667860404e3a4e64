"""Read the headers of a pack's files; refuse those that are damaged or lack a branch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rootloom.config.sections import Fields
from rootloom.errors import InputError, LackError, require_fault_of_file
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages.shared import is_ours
from rootloom.system import provenance
from rootloom.system.filelist import File, files_of_job, states
from rootloom.system.hashing import of_value

if TYPE_CHECKING:
    from rootloom.rootio.dataset import RowReader
    from rootloom.rootio.header import Header


@dataclass(frozen=True, kw_only=True)
class Section:
    """trees: by sample, the tree's name, where sums of weights stand, and friends.

    on_bad_file: "fail", or "quarantine", which sets files aside. files: digest of the pack's part
    of the list of files. asked: how rows are read, by sample, where files may be set aside: which
    ones lack a branch depends on it.
    """

    trees: dict[str, list[Any]]
    on_bad_file: str
    files: str
    asked: dict[str, Fields] | None


def describe(plan: Planning, dataset: str, pack: str) -> Description:
    """Branches do not count: a new variable must not index every file anew.

    Unless files without them are set aside.
    """
    data = plan.data(dataset)
    readers = data.readers()
    section = Section(
        trees={
            name: [reader["tree"], reader["sum_of_weights"], reader["friends"]]
            for name, reader in readers.items()
        },
        on_bad_file=data.dataset.on_bad_file,
        files=plan.files(dataset).listing.parts[pack].digest,
        asked=readers if data.sets_aside else None,
    )
    return Description(section)


def run(job: Job, *, listing: str, readers: Mapping[str, Fields], output: str) -> None:
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

    section, shapes = Section(**job["section"]), Shapes()
    by_sample = {name: reader_of(fields) for name, fields in readers.items()}
    known = Catalogue.read(output) if is_ours(output) else Catalogue()
    catalogue = Catalogue()
    refusals: dict[str, InputError] = {}
    headers = []
    files = files_of_job(listing, section.files)
    for key, file in files.items():
        reader = by_sample[file.sample]
        identity = of_value([file.state, section.trees[file.sample], job["code"]])
        # What a file lacks depends on what is asked of it.
        lacking = of_value([identity, readers[file.sample]])
        try:
            seen = known.has(key, identity) or known.has(key, lacking)
            header = known.header(key) if seen else _inspected(file, reader)
            if header is None:
                refusals |= aside_before(key, file.url, known.reason(key), section.on_bad_file)
                catalogue.keep_aside(key, known)
                continue
            require(header, reader.fitted(header.all_branches(), file.url).branches())
            shapes.require(file, reader, header)
            catalogue.add(key, identity, header, file.sample)
            headers.append(header)
        except LackError as lack:
            refusals[key] = refusal = _with_keys(lack, readers[file.sample])
            catalogue.set_aside_lacking(key, lacking, refusal, file.sample)
        except InputError as refusal:
            require_fault_of_file(refusal)
            refusals[key] = refusal
            catalogue.set_aside(key, identity, str(refusal))
    quarantine(refusals, len(files), section.on_bad_file)
    require_distinct(map(events_of, headers))
    catalogue.write(output, provenance.record("index", dict(job), inputs=states(files)))


def _with_keys(lack: LackError, reader: Fields) -> LackError:
    """The same refusal, with the keys of the dataset file where the missing names stand."""
    from rootloom.rootio.definitions import expressions

    named = [rf"(?<![\w.]){re.escape(name)}(?![\w.])" for name in lack.names]
    keys = [key for key, text in expressions(reader) if any(re.search(one, text) for one in named)]
    asked = f"{lack.expected}, of {', '.join(keys)}" if keys else lack.expected
    return LackError(lack.where, expected=asked, found=lack.found, fix=lack.fix, names=lack.names)


def _inspected(file: File, reader: RowReader) -> Header:
    """The headers of a file's tree and of its friends'."""
    from rootloom.rootio.header import inspect, require, with_friends

    header = with_friends(inspect(file.url, reader.tree), reader.beside(file.url, file.friends))
    if reader.sum_of_weights is not None:
        elsewhere, branch = reader.sum_of_weights
        require(inspect(file.url, elsewhere), [branch])
    print(f"{file.url}: {header.entries} entries, {len(header.branches)} branches")
    return header


def code(plan: Planning) -> str:
    """What shards and friend trees take from the index: not how files were divided for it."""
    return plan.code(STAGE.run)


STAGE = Stage("index", f"{__name__}:run", describe, reads=("simulate",))
