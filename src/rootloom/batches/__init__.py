"""From shards to shuffled, padded, prefetched batches."""
