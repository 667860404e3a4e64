"""Note which code of the library a job executes: `tests/workflow/test_fingerprints.py` asks for it.

On the path of a run's jobs, Python imports it when it starts. At the end of a job it writes the
file and first line of all code that ran, and the hash of code in the job's fingerprint.
"""

import atexit
import inspect
import json
import os
import sys
import threading
from types import CodeType, FrameType

FOLDER = os.environ["ROOTLOOM_EXECUTED"]
PACKAGE = os.sep + "rootloom" + os.sep
executed: set[CodeType] = set()
known: set[CodeType] = set()  # nothing more to note of these


def note(frame: FrameType, event: str, argument: object) -> None:
    """Called for every call; what loading a module or class calls need not be used."""
    code = frame.f_code
    if code in known:
        return
    if PACKAGE in code.co_filename:
        if frame.f_back is None or not frame.f_back.f_code.co_flags & inspect.CO_OPTIMIZED:
            return
        executed.add(code)
    known.add(code)


def write() -> None:
    sys.settrace(None)
    job = getattr(sys.modules["__main__"], "snakemake", None)
    if job is None:
        return
    code = job.params.job["code"] if "job" in job.params.keys() else ""  # noqa: SIM118
    # Bodies of modules and classes run when they are loaded, whether or not they are used.
    functions = [c for c in executed if c.co_flags & inspect.CO_OPTIMIZED]
    places = [(c.co_filename, c.co_firstlineno) for c in functions if c.co_filename.endswith(".py")]
    with open(os.path.join(FOLDER, f"{os.getpid()}.json"), "w") as file:
        json.dump({"rule": job.rule, "code": code, "places": sorted(places)}, file)


atexit.register(write)
threading.settrace(note)
sys.settrace(note)
