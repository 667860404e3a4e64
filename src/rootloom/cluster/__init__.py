"""What a run on a batch system remembers on disk, whichever system it is."""
