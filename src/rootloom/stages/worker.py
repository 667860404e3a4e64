"""One process of a training on several machines.

    python -m rootloom.stages.worker DIRECTORY [NUMBER]

Started by `rootloom.training.launch`, which leaves its order in the directory and reads there what
a process has to say at its end. Without NUMBER it is the task number that srun gives.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from rootloom.cluster.running import EXIT_PREEMPTED, EXIT_REFUSED, Preempted, refusal_of
from rootloom.errors import to_dict
from rootloom.stages import train
from rootloom.system.atomic import write_text
from rootloom.training import signals


def main(arguments: list[str]) -> int:
    """Train as ordered; the exit code."""
    place = Path(arguments[0])
    number = int(arguments[1] if len(arguments) > 1 else os.environ["SLURM_PROCID"])
    order = json.loads((place / "job.json").read_text())
    threading.Thread(target=_end_with_the_launcher, daemon=True).start()
    for once_more in signals.SIGNALS:
        signal.signal(once_more, signal.SIG_IGN)  # after it has stopped and while it takes leave
    try:
        with signals.leave_at_once():
            train.run_process(**order["arguments"], process=_process(order, number))
    except Preempted as stop:
        _say(place, number, {"preempted": str(stop)})
        return EXIT_PREEMPTED
    except Exception as error:
        refusal = refusal_of(error, str(place.parent))
        if refusal is None:
            traceback.print_exc()
        else:
            _say(place, number, {"refused": to_dict(refusal)})
    else:
        return 0
    _leave(EXIT_REFUSED)
    return EXIT_REFUSED


def _process(order: dict[str, Any], rank: int) -> dict[str, Any]:
    """Fields of `rootloom.training.parallel.Process`, which must not be imported yet."""
    gpus = order["gpus"]
    return {
        "coordinator": order["coordinator"],
        "count": order["processes"],
        "rank": rank,
        "gpus": tuple(range(gpus * rank, gpus * (rank + 1))) or None,
    }


def _end_with_the_launcher() -> None:
    """End this process when the launcher, which holds the other end of stdin, has ended."""
    while os.read(sys.stdin.fileno(), 1 << 10):
        pass
    _leave(EXIT_REFUSED)


def _leave(code: int) -> None:
    # Not sys.exit: JAX would first wait for processes that may be gone.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _say(place: Path, number: int, word: dict[str, Any]) -> None:
    write_text(place / f"said-{number}.json", json.dumps(word))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
