"""A thread that makes items ahead: same items, bounded, no hang, no thread left behind."""

from __future__ import annotations

import threading
import time

import pytest

from rootloom.batches.prefetch import prefetch


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_items_come_in_order(ahead: int) -> None:
    assert list(prefetch((i for i in range(100)), ahead)) == list(range(100))
    assert list(prefetch((i for i in range(0)), ahead)) == []


@pytest.mark.parametrize("ahead", [1, 3])
def test_never_more_than_so_many_ahead(ahead: int) -> None:
    made = []

    def source():
        for i in range(20):
            made.append(i)
            yield i

    for taken, item in enumerate(prefetch(source(), ahead)):
        time.sleep(0.002)
        assert item == taken
        assert len(made) <= taken + 1 + ahead
    assert len(made) == 20


@pytest.mark.parametrize("ahead", [0, 2])
def test_an_error_comes_after_the_items_before_it(ahead: int) -> None:
    def source():
        yield 1
        yield 2
        raise OSError("broken disk")

    items = prefetch(source(), ahead)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(OSError, match="broken disk"):
        next(items)


@pytest.mark.parametrize("ahead", [0, 2])
def test_closing_closes_the_source(ahead: int) -> None:
    closed = threading.Event()

    def source():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    items = prefetch(source(), ahead)
    next(items)
    items.close()
    assert closed.is_set()


def test_waiting_is_measured() -> None:
    def slow():
        for i in range(3):
            time.sleep(0.05)
            yield i

    waits: list[float] = []
    for _ in prefetch(slow(), 1, waits.append):
        pass
    assert sum(waits) > 0.12
    assert len(waits) == 4  # three items and the end
