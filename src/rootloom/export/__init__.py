"""Trained methods outside of the workflow.

`bundle` is a method in one file: all its members, and everything needed to score a new file with
it alone. The stage `bundle` makes it; `rootloom apply` and `rootloom.load` read it. `network` is a
member as an ONNX model, `formats` the files of other frameworks, which the stage `export` writes.
"""
