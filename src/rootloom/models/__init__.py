"""Backbones: one file per network, from a batch's inputs to an embedding (B, D)."""
