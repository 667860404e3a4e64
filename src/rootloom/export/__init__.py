"""Trained methods outside of the workflow.

`bundle` is a method in one file: all its members, and everything needed to score a new file with
it alone. The stage `bundle` makes it; `rootloom apply` and `rootloom.load` read it.
"""
