"""A package of somebody else's, with a representation and models of its own."""
