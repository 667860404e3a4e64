"""Classifiers that are not networks: cuts, binned likelihoods, boosted trees."""
