"""Which nodes of an ONNX graph may be computed in INT8: chosen by what they do, not by their type.

A product with weights may; the attention products of two activations may not, although they are
MatMul as well: quantised they lose most and gain least. Neither may the last product before an
output, whose rounding nothing corrects any more; and what is not a product (LayerNormalization,
Softmax, Gelu, Resize) stays float.
"""

from onnx import GraphProto, NodeProto

PRODUCTS = ("Conv", "Gemm", "MatMul")
CLAMPS = ("Relu", "Clip")
"""Activations that quantisation performs for nothing, when they follow a product."""


def find_int8_nodes(graph: GraphProto) -> list[NodeProto]:
    """The products with weights, in the order of the graph, save those of the output heads."""
    heads = {node.name for node in output_heads(graph)}
    return [node for node in weighted_products(graph) if node.name not in heads]


def weighted_products(graph: GraphProto) -> list[NodeProto]:
    """Convolutions and matrix products whose right-hand side is stored in the file."""
    stored = {tensor.name for tensor in graph.initializer}
    return [
        node
        for node in graph.node
        if node.op_type in PRODUCTS and len(node.input) > 1 and node.input[1] in stored
    ]


def output_heads(graph: GraphProto) -> list[NodeProto]:
    """The last product with weights on every way to an output of the graph."""
    makers = {name: node for node in graph.node for name in node.output}
    products = {node.name for node in weighted_products(graph)}
    heads: list[NodeProto] = []
    waiting = [output.name for output in graph.output]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        node = makers.get(name)
        if name in seen or node is None:
            continue
        seen.add(name)
        if node.name in products:
            heads.append(node)
        else:
            waiting += node.input
    return heads


def clamps_after(graph: GraphProto, products: set[str]) -> list[NodeProto]:
    """Activations that alone read one of the products, which are given by name."""
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    following = [readers.get(node.output[0], []) for node in graph.node if node.name in products]
    return [only[0] for only in following if len(only) == 1 and only[0].op_type in CLAMPS]
