"""How bytes of a ROOT file get here: XRootD, HTTPS, copies, checksums. Decides no value."""
