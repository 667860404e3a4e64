"""One epoch of weaver-core's loader, timed by itself; runs in weaver's own environment.

    python weaver_epoch.py FOLDER MODE BATCH_SIZE

MODE: files (one file a fetch), fraction (weaver's default, 1 % of every file a fetch), memory
(the second and later epochs of --in-memory). Prints seconds and jets delivered.
"""

import sys
import time
from pathlib import Path

from torch.utils.data import DataLoader
from weaver.utils.dataset import SimpleIterDataset


def batches(folder: Path, pattern: str, batch_size: int, **options):
    """A loader in the process itself: on one core, worker processes only add copies."""
    files = {"_": sorted(map(str, folder.glob(pattern)))}
    data = SimpleIterDataset(
        files, str(folder / "weaver.yaml"), for_training=True, name="train", **options
    )
    return DataLoader(data, num_workers=0, batch_size=batch_size, drop_last=False)


def count(loader, limit: int | None = None) -> int:
    jets = 0
    for inputs, _, _ in loader:
        jets += len(inputs["points"])
        if limit and jets >= limit:
            break
    return jets


folder, mode, batch_size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
count(batches(folder, "warm*.root", batch_size, fetch_by_files=True, fetch_step=1))
options = {
    "files": {"fetch_by_files": True, "fetch_step": 1},
    "fraction": {"fetch_step": 0.01},
    "memory": {"fetch_step": 1.0, "in_memory": True},
}[mode]
loader = batches(folder, "jets*.root", batch_size, **options)
if mode == "memory":  # its epochs have no end: read everything once, then time one pass
    iterator = iter(loader.dataset)
    next(iterator)
    limit = len(iterator.indices)
    iterator.cursor = limit
    start = time.perf_counter()
    jets = count(loader, limit)
else:
    start = time.perf_counter()
    jets = count(loader)
print(time.perf_counter() - start, jets)
