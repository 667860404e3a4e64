"""Compiled kernels are kept apart by the state of the source that they are made from."""

from __future__ import annotations

from pathlib import Path

import pytest

import rootloom
from rootloom.system import kernels

LIBRARY = Path(rootloom.__file__).parent
FILES = {
    "kernel.py": "from numba import njit\nfrom rootloom.physics.numbers import TWO\n",
    "physics/numbers.py": "from rootloom.physics import (\n    more,\n)\nTWO = more.TWO\n",
    "physics/__init__.py": "",
    "physics/more.py": "TWO = 2\n",
    "other.py": "import kernel\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("edited", "elsewhere"),
    [("kernel.py", True), ("physics/numbers.py", True), ("other.py", False)],
)
def test_an_edit_of_what_a_kernel_reads_has_another_folder(
    package: Path, monkeypatch: pytest.MonkeyPatch, edited: str, elsewhere: bool
) -> None:
    def folder() -> str:
        monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
        kernels.keep_apart(package)
        return kernels.os.environ["NUMBA_CACHE_DIR"]

    before = folder()
    (package / edited).write_text((package / edited).read_text() + "# more\n")
    assert (folder() != before) is elsewhere


def test_all_files_with_kernels_and_what_they_import_count() -> None:
    found = {str(path.relative_to(LIBRARY)) for path in kernels.sources(LIBRARY)}
    with_kernels = {
        str(path.relative_to(LIBRARY))
        for path in LIBRARY.rglob("*.py")
        if "\n@njit" in path.read_text()
    }
    assert with_kernels <= found
    assert "physics/jets/scalars.py" in found
    assert not any(name.startswith(("training/", "report/")) for name in found)
