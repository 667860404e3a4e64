"""What tests of a class of your own need: see `checks` for models, `samples` for inputs.

    @pytest.mark.parametrize("check", MODEL_CHECKS)
    def test_my_model(check):
        check(case_of(MyModel()))

A kind of inputs of your own brings its own sample:

    @sample_of("my_inputs")
    def rows() -> Sample:
        return encoded(MyRepresentation(), {"pt": pt, "eta": eta}, label)
"""

from rootloom.testing.checks import MODEL_CHECKS, Case, case_of
from rootloom.testing.memory import Memory
from rootloom.testing.samples import Sample, Stored, encoded, labelled, sample_of

__all__ = [
    "MODEL_CHECKS",
    "Case",
    "Memory",
    "Sample",
    "Stored",
    "case_of",
    "encoded",
    "labelled",
    "sample_of",
]
