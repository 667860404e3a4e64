"""Where the library is, and whether the file of settings can be read at all."""

import os
import sys
from pathlib import Path

# The workflow runs the library it was checked out with, in this process and in every job.
SOURCE = str((Path(workflow.basedir) / "src").resolve())
sys.path.insert(0, SOURCE)
# An executor that the engine imported may have brought another copy of it along.
for name, module in list(sys.modules.items()):
    if name.partition(".")[0] == "rootloom":
        if not str(getattr(module, "__file__", "")).startswith(SOURCE + os.sep):
            del sys.modules[name]
inherited = os.environ.get("PYTHONPATH")
os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, [SOURCE, inherited]))}

from rootloom.system import ending
from rootloom.config.documents import read_yaml
from rootloom.errors import RootloomError

try:
    # Before the engine reads it, which lets more pass and says less of what is wrong. It need not
    # be there: `--configfile` names others.
    if Path("config/config.yaml").exists():
        read_yaml(Path("config/config.yaml"))
except RootloomError as refusal:
    # Not an exception of the engine's, which would name this line behind the refusal's own words.
    ending.refuse(refusal)
