"""Peak memory does not grow with the data: the same range of work on ten times the rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import uproot

from tests.toy import write_jets
from tests.workflow.project import ROOT, environment

PREPROCESS = """
import sys
from pathlib import Path
from rootloom.representations.image import JetImage
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.shards.update import recipes, write_or_update
columns = {n: f"cons_{n}" for n in ("px", "py", "pz", "e", "trimmed")}
reader = RowReader(tree="jets", variables={}, objects={"constituents": columns},
                   classes=(ClassRule("w", "trimmed_pt > 0"),))
image = JetImage()
needed = image.needs((), {"constituents": tuple(columns)})
path, entries = sys.argv[1], int(sys.argv[2])
write_or_update(
    Path(sys.argv[3]), blocks=lambda names: reader.read(path, 0, entries, columns=names, step=2000),
    representation=image, recipe=recipes(image, reader.expressions(needed), None), file_key="f",
    splits={"train": 0.6, "validation": 0.2, "test": 0.2}, auxiliary=(), attributes={},
)
"""

BATCHES = """
import sys
from rootloom.batches.loader import Loader
from rootloom.representations.image import JetImage
loader = Loader(sys.argv[1].split(","), JetImage(), "train", 256, cache_bytes=0,
                window_bytes=1 << 20)
rows = sum(int((batch.weight > 0).sum()) for batch in loader.epoch(0))
assert rows == loader.rows
"""

# Not getrusage: its maximum counts the process that started this one, too.
PEAK = """
from pathlib import Path
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line for line in lines if line.startswith("VmHWM")).split()[1])
"""


def peak(code: str, *arguments: str) -> int:
    """Peak resident memory of a fresh process that runs `code`, in kB."""
    done = subprocess.run(
        [sys.executable, "-c", code + PEAK, *arguments],
        env={**environment(), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.fixture(scope="module")
def jets(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("jets")
    files = {}
    for factor in (1, 10):
        files[factor] = folder / f"{factor}.root"
        write_jets(files[factor], True, 4000 * factor, seed=factor)
    return files


def test_preprocess_and_batches(jets: dict[int, Path], tmp_path: Path) -> None:
    peaks = {}
    for factor in (1, 1, 10):  # the first one also compiles kernels, which takes memory of its own
        file = jets[factor]
        entries = uproot.open(file)["jets"].num_entries
        shard = tmp_path / f"{factor}.h5"
        peaks[factor] = peak(PREPROCESS, str(file), str(entries), str(shard))
    # Ten times the rows: the images alone would be 40,000 × 2.5 kB = 100 MB more, were they kept.
    assert peaks[10] - peaks[1] < 30_000, peaks
    streamed = {f: peak(BATCHES, str(tmp_path / f"{f}.h5")) for f in jets}
    assert streamed[10] - streamed[1] < 30_000, streamed
