"""How bytes of a ROOT file get here: XRootD, HTTPS, copies, checksums. Decides no value."""

DECIDES_NO_VALUE = "tests/unit/test_rootio_remote.py::test_dropped_connections_change_nothing"
