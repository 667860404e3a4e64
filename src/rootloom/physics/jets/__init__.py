"""Jets: clustering, grooming, substructure."""
