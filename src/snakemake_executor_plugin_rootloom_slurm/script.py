"""The batch script of a submission, and when its job is warned of its time limit."""

from __future__ import annotations

from collections.abc import Sequence

LEAD = 120  # seconds before the time limit
SHORTEST_RUNTIME = 5  # minutes; a shorter job is not warned

# The shell stays, because SLURM sends the warning to it alone: it hands it to everything it started
# and waits for the end, so that what can save its state does. A shell that dies of the signal
# would end the job at once; `trap :` keeps this one and leaves its children their own ways.
_SCRIPT = """\
#!/bin/sh
task() {{
trap : TERM
case "${{SLURM_ARRAY_TASK_ID:-1}}" in
{cases}
esac
}}
trap 'trap : TERM; kill -TERM 0' TERM
task &
wait $!
status=$?
while kill -0 $! 2>/dev/null; do
wait $!
status=$?
done
exit $status
"""


def batch_script(commands: Sequence[str]) -> str:
    """A script that runs the n-th command as array task n, or the only one as a job."""
    cases = "\n".join(f"{number})\n{c}\n;;" for number, c in enumerate(commands, start=1))
    return _SCRIPT.format(cases=cases)


def lead(runtime: int | None) -> int:
    """Seconds before the end of `runtime` minutes at which a job is warned, 0 for never."""
    if not runtime or runtime < SHORTEST_RUNTIME:
        return 0
    return min(LEAD, runtime * 60 // 10)
