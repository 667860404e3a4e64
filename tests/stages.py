"""A project without Snakemake: its stages up to the statistics, in this process."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rootloom.shards.manifest import Manifest, all_shards
from rootloom.shards.reader import Shard
from rootloom.stages import (
    axes,
    index,
    make_plan,
    moments,
    preprocess,
    spectra,
    statistics,
    survey,
)
from rootloom.types import SPLITS

ROOT = Path(__file__).resolve().parents[1]
Shards = dict[tuple[int, int], tuple[int, int]]


class Run:
    """A project without Snakemake: its stages up to the statistics, in this process."""

    def __init__(
        self,
        folder: Path,
        dataset: dict[str, Any] | None,
        minutes: float = 2,
        representation: str = "features",
        experiment: str = "mine",
    ) -> None:
        """dataset: written as config/datasets/mine.yaml; None: that of the experiment is there."""
        if not (folder / "config").exists():
            shutil.copytree(ROOT / "config", folder / "config")
        if dataset is not None:
            (folder / "config/datasets/mine.yaml").write_text(yaml.safe_dump(dataset))
        self.plan = make_plan({"experiment": experiment, "job_minutes": minutes}, folder)
        self.dataset, self.representation = self.plan.datasets.nominal.name, representation
        self.named = (self.dataset, representation)
        self.plan.files(self.dataset).note()

    def _made(self, rule: str, pack: str, **wildcards: str) -> dict[str, Any]:
        return {"job": self.plan.job(rule, dataset=self.dataset, pack=pack, **wildcards)}

    def index(self, pack: str) -> str:
        output = self.plan.paths.index(self.dataset, pack)
        listing, readers = (
            str(self.plan.files(self.dataset).list_path),
            self.plan.data(self.dataset).readers(),
        )
        index.run(**self._made("index", pack), listing=listing, readers=readers, output=output)
        return output

    def preprocess(self, pack: str) -> str:
        paths, named = self.plan.paths, self.named
        output = paths.manifest(*named, pack)
        preprocess.run(
            **self._made("preprocess", pack, representation=self.representation),
            listing=str(self.plan.files(self.dataset).list_path),
            index=self.index(pack),
            shards=paths.shard(*named, "{file}", "{part}"),
            changed=paths.changed(self.dataset, "{file}"),
            output=output,
        )
        return output

    def statistics(self) -> str:
        paths, named, made = self.plan.paths, self.named, []
        for pack in self.plan.files(self.dataset).packs:
            made.append(paths.moments(*named, pack))
            moments.run(
                **self._made("moments", pack, representation=self.representation),
                manifest=self.preprocess(pack),
                output=made[-1],
            )
        job = self.plan.job("statistics", dataset=self.dataset, representation=self.representation)
        role = self.plan.data(self.dataset).role.value
        statistics.run(job, moments=made, output=paths.statistics(*named), role=role)
        return paths.statistics(*named)

    def survey(self) -> str:
        """Axes by all packs, sums of each, and what they give together."""
        paths, named = self.plan.paths, self.named
        manifests = {pack: self.preprocess(pack) for pack in self.plan.files(self.dataset).packs}
        edges, output = paths.axes(*named), paths.survey(*named)
        shards = all_shards(list(manifests.values()), self.plan.files(self.dataset).listing.files)
        axes.run(
            self.plan.job("axes", dataset=self.dataset, representation=self.representation),
            shards=shards,
            output=edges,
        )
        sums = {pack: paths.spectra(*named, pack) for pack in manifests}
        for pack, manifest in manifests.items():
            made = self._made("spectra", pack, representation=self.representation)
            spectra.run(**made, manifest=manifest, axes=edges, output=sums[pack])
        job = self.plan.job("survey", dataset=self.dataset, representation=self.representation)
        survey.run(job, spectra=list(sums.values()), output=output)
        return output

    def rows(self) -> Shards:
        """(entry, object) → (id, split) of all rows of all files."""
        found: Shards = {}
        for pack in self.plan.files(self.dataset).packs:
            manifest = Path(self.preprocess(pack))
            for entry in Manifest.read(manifest).files.values():
                for shard in entry.shards:
                    found |= rows_of(manifest.parent / shard)
        return found


def rows_of(path: Path) -> Shards:
    found: Shards = {}
    with Shard(path) as shard:
        for number, split in enumerate(SPLITS):
            columns = shard.read(split, ["entry", "object", "id"])
            entry, obj, ids = (np.asarray(columns[k]).tolist() for k in ("entry", "object", "id"))
            found |= {
                (e, o): (i, number) for e, o, i in zip(entry, obj, ids, strict=True)
            }  # fmt: skip
    return found
