"""Backbones: one file a network, from a batch's inputs to an embedding (B, D)."""
