"""A face pack whose networks are a little arithmetic, so that what comes out is known exactly.

The detector calls a red block (32 x 32 at its scale) a large face and a green block (16 x 16) a
small one, but sees nothing in what fills the picture. The recogniser's first three numbers are the
mean R, G, B it was given. The landmark networks always answer the same.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
SIZE = 640
LARGE, SMALL = 64.0, 24.0  # half the width of a face, in pixels at the detector's scale
POINTS = np.array(
    [[-0.4, -0.3], [0.4, -0.3], [0.0, 0.1], [-0.3, 0.5], [0.3, 0.5]]
)  # in half widths


def write_model(path, nodes, inputs, outputs, constants):
    """Saves a graph; inputs and outputs are {name: shape}."""
    graph = helper.make_graph(
        nodes,
        "fake",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def write_detector(path, key_points=True):
    """SCRFD's nine outputs (six without key points), two anchors a cell, for 640 x 640 pixels."""
    node = helper.make_node
    mixes = {
        8: (0, 0, 0),
        16: (-0.5, 0.5, 0),
        32: (0.5, -0.5, 0),
    }  # nothing; green - red; red - green
    constants = {"all": np.array([-1, 1]), "twice": np.array([1, 1, 1, 2])}
    nodes, scores, boxes, points = [], {}, {}, {}
    for stride, mix in mixes.items():
        cells = (SIZE // stride) ** 2 * 2
        half = LARGE if stride == 32 else SMALL
        constants[f"mix{stride}"] = np.array(mix, np.float32).reshape(1, 3, 1, 1)
        constants[f"box{stride}"] = np.full((cells, 4), half / stride, np.float32)
        constants[f"kps{stride}"] = np.tile(POINTS.ravel() * half / stride, (cells, 1)).astype("f4")
        s = stride
        nodes += [
            node("Conv", ["photo", f"mix{s}"], [f"colour{s}"]),
            node("ReduceMean", [f"colour{s}"], [f"mean{s}"], axes=[2, 3], keepdims=1),
            node("AveragePool", [f"colour{s}"], [f"cells{s}"], kernel_shape=[s, s], strides=[s, s]),
            node("Sub", [f"cells{s}", f"mean{s}"], [f"stands_out{s}"]),
            node("Transpose", [f"stands_out{s}"], [f"last{s}"], perm=[0, 2, 3, 1]),
            node("Tile", [f"last{s}", "twice"], [f"anchors{s}"]),
            node("Reshape", [f"anchors{s}", "all"], [f"score{s}"]),
            node("Identity", [f"box{s}"], [f"boxes{s}"]),
            node("Identity", [f"kps{s}"], [f"points{s}"]),
        ]
        scores[f"score{s}"], boxes[f"boxes{s}"] = [cells, 1], [cells, 4]
        points[f"points{s}"] = [cells, 10]
    outputs = scores | boxes | (points if key_points else {})
    write_model(path, nodes, {"photo": [1, 3, SIZE, SIZE]}, outputs, constants)


def write_sure_detector(path):
    """SCRFD's nine outputs, always the same: one large face in the middle."""
    node = helper.make_node
    nodes = [
        node("ReduceMean", ["photo"], ["mean"], axes=[0, 1, 2, 3], keepdims=0),
        node("Less", ["mean", "mean"], ["never"]),
        node("Cast", ["never"], ["nothing"], to=FLOAT),
    ]
    constants, scores, boxes, points = {}, {}, {}, {}
    for stride in (8, 16, 32):
        cells = (SIZE // stride) ** 2 * 2
        score = np.zeros((cells, 1), np.float32)
        if stride == 32:
            score[cells // 2 + SIZE // stride] = 0.9  # row and column of the middle
        half = 2 * LARGE / stride
        answers = {
            f"score{stride}": score,
            f"boxes{stride}": np.full((cells, 4), half, np.float32),
            f"points{stride}": np.tile(POINTS.ravel() * half, (cells, 1)).astype(np.float32),
        }
        for kind, (name, answer) in zip((scores, boxes, points), answers.items(), strict=True):
            constants[f"{name}_answer"] = answer
            nodes.append(node("Add", [f"{name}_answer", "nothing"], [name]))
            kind[name] = list(answer.shape)
    write_model(path, nodes, {"photo": [1, 3, SIZE, SIZE]}, scores | boxes | points, constants)


def write_sure_pack(folder):
    """A pack that sees one face in the middle of anything."""
    folder.mkdir(parents=True, exist_ok=True)
    write_sure_detector(folder / "detector.onnx")
    write_recogniser(folder / "recogniser.onnx")
    return folder


def write_recogniser(path, size=112, gain=3.0):
    """[1, 3, size, size] to [1, 512]: gain times the mean of each channel, then zeros."""
    nodes = [
        helper.make_node("ReduceMean", ["face"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["means", "spread"], ["embedding"]),
    ]
    spread = np.eye(3, 512, dtype=np.float32) * np.float32(gain)
    shapes = {"face": [1, 3, size, size]}, {"embedding": [1, 512]}
    write_model(path, nodes, *shapes, {"spread": spread})


def write_landmarks(path, answer):
    """A 192 x 192 network that answers the same flat array to any picture."""
    answer = np.asarray(answer, np.float32).reshape(1, -1)
    nodes = [
        helper.make_node("ReduceMean", ["face"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Less", ["mean", "mean"], ["never"]),
        helper.make_node("Cast", ["never"], ["nothing"], to=FLOAT),
        helper.make_node("Add", ["answer", "nothing"], ["landmarks"]),
    ]
    shapes = {"face": [1, 3, 192, 192]}, {"landmarks": list(answer.shape)}
    write_model(path, nodes, *shapes, {"answer": answer})


def write_unknown(path):
    """A network of a shape that insightface has no use for."""
    nodes = [helper.make_node("Identity", ["a"], ["b"])]
    write_model(path, nodes, {"a": [1, 3, 50, 60]}, {"b": [1, 3, 50, 60]}, {})


def write_pack(folder):
    """Detector and recogniser."""
    folder.mkdir(parents=True, exist_ok=True)
    write_detector(folder / "detector.onnx")
    write_recogniser(folder / "recogniser.onnx")
    return folder


def photo(*faces, height=SIZE, width=SIZE):
    """A black photo; a face is (kind, column, row), "large" in cells of 32, "small" of 16."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for kind, column, row in faces:
        cell, channel = (32, 0) if kind == "large" else (16, 1)
        pixels[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell, channel] = 255
    return pixels
