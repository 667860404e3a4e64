"""From rows of a dataset to tensors: features, jet images, clustering trees."""
