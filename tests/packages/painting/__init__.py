"""A package of somebody else's, with a generator of jet images."""
