#!/usr/bin/env python3
"""Runs a job on its node: in its folder, with what it is told reaching everything it started.

HTCondor tells only the first process of a job to stop. A job that was told so, or whose folder is
not there, ends with a code of its own (75, EX_TEMPFAIL): it is to be run again. Standard library
only, because it runs before any environment is there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

LOST = 75


def main(folder: str, *command: str) -> int:
    """Run a command in a folder; its exit code, 128 + n where it ended by signal n."""
    told: list[int] = []
    try:
        os.chdir(folder)
    except OSError as error:
        print(f"error: {folder} is not on this node: {error}", file=sys.stderr)
        return LOST
    process = subprocess.Popen(command, start_new_session=True)

    def hand_on(number: int, frame: object) -> None:
        told.append(number)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, hand_on)
    status = process.wait()
    if told:
        return LOST
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
