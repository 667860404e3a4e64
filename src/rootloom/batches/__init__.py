"""Shuffled, padded, prefetched batches from shards."""
