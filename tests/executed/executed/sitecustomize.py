"""Note which code of the library a job executes: `tests/workflow/test_fingerprints.py` asks for it.

On the path of a run's jobs, Python imports it when it starts. At the end of a job it writes the
file and first line of all code that ran, and the hash of code in the job's fingerprint.
"""

import atexit
import json
import os
import sys
import threading
from types import CodeType, FrameType

FOLDER = os.environ["ROOTLOOM_EXECUTED"]
PACKAGE = os.sep + "rootloom" + os.sep
executed: set[CodeType] = set()


def note(frame: FrameType, event: str, argument: object) -> None:
    if event == "call":
        executed.add(frame.f_code)


def write() -> None:
    sys.setprofile(None)
    job = getattr(sys.modules["__main__"], "snakemake", None)
    if job is None:
        return
    code = job.params.job["code"] if "job" in job.params.keys() else ""  # noqa: SIM118
    places = [(c.co_filename, c.co_firstlineno) for c in executed if PACKAGE in c.co_filename]
    with open(os.path.join(FOLDER, f"{os.getpid()}.json"), "w") as file:
        json.dump({"rule": job.rule, "code": code, "places": sorted(places)}, file)


atexit.register(write)
threading.setprofile(note)
sys.setprofile(note)
