"""The chapter on classes."""
