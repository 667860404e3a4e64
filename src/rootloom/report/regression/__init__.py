"""The chapter on predicted numbers."""
