"""Shards of the main job's representations take less room than the ROOT file they come from."""

from __future__ import annotations

from pathlib import Path

import uproot

from rootloom.config import registry
from rootloom.config.sections import Library
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.shards.update import recipes, write_or_update
from rootloom.simulate.w_jets import WJets
from rootloom.stages import make_plan

ROOT = Path(__file__).resolve().parents[2]
JETS = 1000


def test_shards_are_smaller_than_root(tmp_path: Path) -> None:
    plan = make_plan({"experiment": "w-tagging"}, ROOT)
    file = tmp_path / "w.root"
    WJets(multiparton=False).generate("w", JETS, 5, file, lambda done, total: None)
    entries = uproot.open(file)["jets"].num_entries
    assert entries == JETS
    total = 0
    for name in plan.request.representations:
        fields = Library(ROOT / "config").representation(name)
        representation = registry.build("representations", fields)
        section = plan.data("w-jets").reader(fields)
        reader = RowReader(**{**section, "classes": (ClassRule("w", "trimmed_pt > 0"),)})
        objects = {collection: tuple(columns) for collection, columns in reader.objects.items()}
        needed = representation.needs(tuple(reader.variables), objects)
        shard = tmp_path / f"{name}.h5"
        write_or_update(
            shard,
            blocks=lambda columns, reader=reader: reader.read(
                str(file), 0, entries, columns=columns
            ),
            representation=representation,
            recipe=recipes(representation, reader.expressions(needed), None),
            file_key="w",
            splits=plan.data("w-jets").dataset.splits.shares(),
            auxiliary=("trimmed_pt",) if "trimmed_pt" in reader.variables else (),
            attributes={},
        )
        total += shard.stat().st_size
    assert total < file.stat().st_size
