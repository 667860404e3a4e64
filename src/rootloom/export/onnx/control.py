"""Functions inside of functions, and loops over a sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import ValueInfoProto, helper

from rootloom.export.onnx.equation import Aval, Equation, Lowering
from rootloom.export.onnx.graph import Graph


def _calls(parameter: str) -> Lowering:
    """A function that is called, by the parameter that holds it, as if its equations stood here."""
    return lambda at, *inputs: at.write(at.params[parameter], inputs, at.graph)


def _scan(at: Equation, *inputs: str) -> list[str]:
    """A loop over the first axis of some inputs, that carries others along.

    The step reads what does not change from outside of its graph.
    """
    fixed, carried = at.params["num_consts"], at.params["num_carry"]
    closed, elements = at.params["jaxpr"], len(inputs) - fixed - carried
    at.require(elements > 0, "a loop over a sequence", "a count alone")
    inner = Graph(outer=at.graph)
    names = [inner.new_name(f"step_{k}") for k in range(carried + elements)]
    results = [_own(inner, value) for value in at.write(closed, [*inputs[:fixed], *names], inner)]
    variables = [_aval(of) for of in closed.jaxpr.invars[fixed:]]
    body = helper.make_graph(
        inner.nodes,
        inner.new_name("step"),
        _infos(inner, names, variables),
        _infos(inner, results, [_aval(of) for of in closed.jaxpr.outvars]),
    )
    back = int(at.params["reverse"])
    directions = {"scan_input_directions": [back] * elements}
    if len(results) > carried:
        directions["scan_output_directions"] = [back] * (len(results) - carried)
    return at.graph.ops(
        "Scan", inputs[fixed:], len(results), body=body, num_scan_inputs=elements, **directions
    )


def _own(graph: Graph, value: str) -> str:
    """A result under a name of its own: those of a step must be of its own nodes, each once."""
    name = graph.new_name("result")
    graph.nodes.append(helper.make_node("Identity", [value], [name], name=name))
    return name


def _aval(of: object) -> Aval:
    aval: Aval = of.aval  # type: ignore[attr-defined]
    return aval


def _infos(graph: Graph, names: Sequence[str], avals: Sequence[Aval]) -> list[ValueInfoProto]:
    pairs = zip(names, avals, strict=True)
    return [graph.info(name, aval.dtype, aval.shape) for name, aval in pairs]


TABLE: Mapping[str, Lowering] = {
    "closed_call": _calls("call_jaxpr"),
    "custom_jvp_call": _calls("call_jaxpr"),
    "custom_vjp_call": _calls("call_jaxpr"),
    "jit": _calls("jaxpr"),
    "remat2": _calls("jaxpr"),
    "scan": _scan,
}
