"""The on-disk shard format (HDF5), its manifest and its mergeable statistics."""
