"""Run a generator in a thread, a bounded number of items ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def prefetch(
    items: Generator[T], ahead: int, waited: Callable[[float], None] | None = None
) -> Generator[T]:
    """The same items in the same order, with up to `ahead` of them made in advance.

    An exception in the thread is raised here, at its item. When this generator is closed, `items`
    is closed and the thread has ended. `waited` is called with the seconds that the caller waited
    for each item. With `ahead` 0 there is no thread.
    """
    note = waited or (lambda seconds: None)
    ready: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
    room, stop = threading.Semaphore(ahead), threading.Event()

    def produce() -> None:
        failure: BaseException | None = None
        try:
            while room.acquire() and not stop.is_set():
                ready.put((next(items), None))
        except StopIteration:
            pass
        except BaseException as error:
            failure = error
        finally:
            items.close()
            ready.put((None, failure))

    def produced() -> Generator[T]:
        thread = threading.Thread(target=produce, daemon=True, name="rootloom-prefetch")
        thread.start()
        try:
            while True:
                item, failure = ready.get()
                if failure is not None:
                    raise failure
                if item is None:
                    return
                room.release()
                yield item
                item = None  # free its memory while the next one is made
        finally:
            stop.set()
            room.release()
            thread.join()

    yield from _timed(produced() if ahead else items, note)


def _timed(items: Generator[T], note: Callable[[float], None]) -> Generator[T]:
    try:
        while True:
            start = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                note(time.perf_counter() - start)
            yield item
            del item
    finally:
        items.close()
