"""What models of ratios are tested on."""

import numpy as np

from rootloom.testing import encoded, sample_of
from weaving.ratios import Ratios


@sample_of("ratios")
def ratios():
    rng = np.random.default_rng(3)
    label = rng.integers(0, 2, 200)
    rows = {name: rng.uniform(1, 2, 200) + label for name in ("pt", "eta", "muons")}
    return encoded(Ratios(tuple(rows)), rows, label)
