"""What each job is given: its section of the configuration, and a fingerprint that decides over it.

The fingerprint is of that section, of the code the job executes and of everything upstream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from rootloom.planning.fingerprint import Definitions, definitions, of_code, packages
from rootloom.planning.stage import Job, Planning, Stage, job_of
from rootloom.system.atomic import write_json
from rootloom.system.hashing import of_value
from rootloom.system.provenance import versions_of

# Wildcards that follow from others, or from the plan itself.
IMPLIED = frozenset({"experiment", "folder", "block", "place"})


class Jobs:
    """Jobs by rule and wildcards.

    stages: by the names of their rules. plan: what their descriptions ask.
    """

    def __init__(self, stages: Mapping[str, Stage], plan: Planning) -> None:
        self._stages, self._plan = stages, plan
        # What the hashes of code are of, as far as jobs were asked for.
        self._targets: dict[str, tuple[str, ...]] = {}
        self._fingerprints: dict[tuple[str, frozenset[tuple[str, str]]], str] = {}

    def job(self, rule: str, **wildcards: str) -> Job:
        """What a rule's job is given: its section and the fingerprint that decides its fate."""
        stage = self._stages[rule]
        described = stage.describe(self._plan, **_deciding(wildcards))
        own = (stage.run, *stage.script_calls, *described.code)
        targets = (*own, *described.functions)
        code = self.code(*targets)
        self._targets[code] = targets
        return job_of(
            described.section,
            code,
            of_value(list(described.upstream)),
            parts={"": self.code(*own), **{one: self.code(one) for one in described.functions}},
            packages=packages(*targets),
        )

    def code(self, *targets: str) -> str:
        """Hash of the definitions that these reach; with `strict_versions` of packages too."""
        code = of_code(*targets)
        strict = self._plan.request.settings.strict_versions
        return of_value([code, versions_of(packages(*targets))]) if strict else code

    def fingerprint(self, rule: str, **wildcards: str) -> str:
        """The fingerprint of a job, found once."""
        named = rule, frozenset(_deciding(wildcards).items())
        if named not in self._fingerprints:
            self._fingerprints[named] = self.job(rule, **wildcards)["fingerprint"]
        return self._fingerprints[named]

    def definitions(self, code: str) -> Definitions:
        """What a hash of code, which a job has, is made from."""
        return definitions(*self._targets[code])

    def note_code(self, jobs: Iterable[tuple[str, Mapping[str, str]]]) -> None:
        """Write down the definitions that these jobs execute, by rule and wildcards.

        A hash of code says that something changed; compared with this, also what.
        """
        known: dict[tuple[str, ...], Mapping[str, str]] = {}
        for rule, wildcards in jobs:
            names = (wildcards.get(kind, "") for kind in ("dataset", "method", "representation"))
            known.setdefault((rule, *names), wildcards)
        for (rule, *_), wildcards in known.items():
            code = self.job(rule, **wildcards)["code"]
            path = Path(self._plan.request.paths.code(code))
            if not path.exists():
                write_json(path, {"modules": self.definitions(code)})


def _deciding(wildcards: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in wildcards.items() if name not in IMPLIED}
