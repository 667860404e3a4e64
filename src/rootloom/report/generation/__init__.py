"""The chapter on generated samples."""
