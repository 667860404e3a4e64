"""An evaluation that reads scores the other way round."""

from dataclasses import dataclass, replace

from rootloom.evaluation.classification.evaluator import Classification


@dataclass(frozen=True)
class Upside(Classification):
    """Figures of 1 - score. most: from which score on."""

    most: float = 1.0

    def result(self, members, held_out):
        def turned(one):
            return replace(one, rows=replace(one.rows, scores=self.most - one.rows.scores))

        return super().result([turned(one) for one in members], held_out)
