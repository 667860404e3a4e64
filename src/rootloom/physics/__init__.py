"""Kinematics, clustering, grooming and observables: pure array functions in GeV and radians."""
