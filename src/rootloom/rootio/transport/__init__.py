"""Access to ROOT files: XRootD, HTTPS, copies on scratch, checksums. Decides no value."""

DECIDES_NO_VALUE = "tests/unit/test_rootio_remote.py::test_dropped_connections_change_nothing"
