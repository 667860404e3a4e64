"""The confusion matrix, with errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rootloom.evaluation.classification.pairs import Scores
from rootloom.evaluation.classification.result import Confusion
from rootloom.evaluation.measurement import Measurement
from rootloom.evaluation.members import over_members
from rootloom.evaluation.uncertainties import weighted_share


def confusion(members: Sequence[Scores], classes: Sequence[str]) -> Confusion:
    """Shares of each true class by the class with the highest score, the first of equal ones.

    Each class must have a positive sum of weights. With negative weights a share can leave [0, 1].
    A share has no error if all rows or none are in its cell, or if its class has one effective row.
    """
    chosen = [np.argmax(member.probability, axis=1) for member in members]

    def share(true: int, predicted: int) -> Measurement:
        found = []
        for member, choice in zip(members, chosen, strict=True):
            rows = member.truth == true
            found.append(weighted_share(choice[rows] == predicted, member.weight[rows]))
        return over_members(found)

    def count(true: int, predicted: int) -> float:
        cells = zip(members, chosen, strict=True)
        return float(np.mean([((m.truth == true) & (c == predicted)).sum() for m, c in cells]))

    numbers = range(len(classes))
    return Confusion(
        classes=tuple(classes),
        shares=tuple(tuple(share(i, j) for j in numbers) for i in numbers),
        counts=tuple(tuple(count(i, j) for j in numbers) for i in numbers),
    )
