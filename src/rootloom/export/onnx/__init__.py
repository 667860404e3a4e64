"""From a function of JAX to an ONNX model of standard operators.

`model` traces a function with symbolic sizes and writes its equations one by one; `table` says how
each primitive of JAX is written. A primitive that is not in the table is refused by its name, with
its place in the network.
"""
