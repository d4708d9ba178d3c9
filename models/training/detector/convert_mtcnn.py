r"""Convert the MTCNN weights of facenet-pytorch 2.6.0 (MIT) to the three ONNX files that Lectern runs.

    pip install facenet-pytorch==2.6.0 torch==2.2.2 onnx==1.16.2 onnxruntime==1.18.1 "numpy<2"
    python -m detector.convert_mtcnn --int8-weights onet --check tests/fixtures/portrait.png \
        --report models/training/detector/convert_mtcnn.json

Nothing is downloaded here: the weights are the `.pt` files inside the installed package, and their SHA-256 is checked.

What the files take and give (NCHW, float32, batch 1):

| file      | input, RGB, 0 to 255 | output                                                       |
|-----------|----------------------|--------------------------------------------------------------|
| pnet.onnx | `image` [1,3,H,W]    | `cells` [1,5,h,w]: logit, dx1, dy1, dx2, dy2                 |
| rnet.onnx | `face` [1,3,24,24]   | `head` [1,5]: logit, dx1, dy1, dx2, dy2                      |
| onet.onnx | `face` [1,3,48,48]   | `head` [1,15]: logit, dx1, dy1, dx2, dy2, x1 to x5, y1 to y5 |

- `logit` is face minus background, so that the original's probability is 1/(1+exp(-logit)) and `probability >= t` is
  `logit >= ln(t/(1-t))`.
- dx, dy are fractions of the box's width and height; x, y of the landmarks are fractions of the square that was cut
  out, in this order: eye at the left of the picture, eye at its right, nose, mouth corner at the left, at the right.
- Cell (row, column) of P-Net looks at the 12x12 pixels whose top left corner is (2*row, 2*column) of the scaled image;
  h = ceil((H-2)/2) - 4, and w likewise.

What is changed against the original; every step but the int8 weights is the same function up to rounding:

1. The normalisation (x-127.5)/128 is folded into the first convolution. The nets pad nothing there, so this is exact;
   the caller feeds raw RGB.
2. PReLU is written x + (a-1)*min(x,0). Slopes reach 1.30, so that max(x, a*x) would be wrong.
3. The softmax is gone and the two class channels are one: the difference of their weights.
4. The heads are merged to one output.
5. `permute(0,3,2,1)` before the first dense layer is folded into its weights.
6. `MaxPool(ceil_mode=True)` with stride 2 is a plain MaxPool with one padded row and column (of minus infinity, as ONNX
   defines it) at the end; the two are equal for every size.

`--int8-weights [NET ...]` stores the convolution and dense weights of these nets (without names: of all three) as int8
with one scale for each output channel, followed by DequantizeLinear, which tract folds when it loads the file: a
quarter of the size, the same speed, f32 arithmetic. Biases and PReLU slopes stay f32.

The command above is how the files in models/ were made: O-Net, which has 4/5 of the bytes, has int8 weights; P-Net and
R-Net are f32, because their errors move the next net's cut. On the 300 photographs of wider_dev, smallest face 40,
thresholds .6, .7, .7 (`detector/reference_mtcnn.py detect` into `benches/wider.py`; 536 faces, 534 detections by the
original):

| int8 weights in | bytes     | recall | precision | detections lost | box moved, 50% / 95% of them | landmarks moved |
|-----------------|-----------|--------|-----------|-----------------|------------------------------|-----------------|
| none            | 1,987,793 | .8396  | .9356     | 0               | .00 / .00 px at 640          | .00 / .00 px    |
| O               |   828,679 | .8396  | .9336     | 0               | .20 / .81                    | .15 / .70       |
| R, O            |   532,461 | .8377  | .9374     | 4               | .44 / 3.69                   | .41 / 2.68      |
| P, R, O         |   514,082 | .8396  | .9434     | 14              | 1.26 / 5.78                  | .98 / 5.49      |
"""

import argparse
import hashlib
import json
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SOURCE = "PyPI facenet-pytorch 2.6.0"
LICENCE = "MIT"
OPSET = 13
WEIGHTS = {
    "pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}
MEAN, SCALE = 127.5, 1.0 / 128.0


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Graph:
    """A chain of ONNX nodes; each method appends a layer behind the last one."""

    def __init__(self, name, input_name, input_shape, int8):
        self.name, self.int8 = name, int8
        self.input = helper.make_tensor_value_info(input_name, TensorProto.FLOAT, input_shape)
        self.last, self.nodes, self.constants = input_name, [], []

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, op, inputs, name, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        self.last = name
        return name

    def weight(self, name, array):
        """A weight whose first axis is the output channel, as f32 or as int8 with a scale for each channel."""
        array = array.astype(np.float32)
        if not self.int8:
            return self.constant(name, array)
        flat = np.abs(array.reshape(len(array), -1))
        scale = (flat.max(axis=1) / 127).astype(np.float32)
        shaped = scale.reshape([-1] + [1] * (array.ndim - 1))
        quantised = np.clip(np.rint(array / shaped), -127, 127).astype(np.int8)
        inputs = [
            self.constant(f"{name}.int8", quantised),
            self.constant(f"{name}.scale", scale),
            self.constant(f"{name}.zero", np.zeros(len(scale), np.int8)),
        ]
        last = self.last
        self.node("DequantizeLinear", inputs, name, axis=0)
        self.last = last
        return name

    def conv(self, name, weight, bias):
        inputs = [self.last, self.weight(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)]
        self.node("Conv", inputs, name, kernel_shape=list(weight.shape[2:]))

    def dense(self, name, weight, bias):
        inputs = [self.last, self.weight(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)]
        self.node("Gemm", inputs, name, transB=1)

    def prelu(self, name, slope, rank):
        """x + (slope - 1) * min(x, 0)."""
        shape = [1, -1] + [1] * (rank - 2)
        x = self.last
        zero = self.constant(f"{name}.zero", np.zeros([1] * rank, np.float32))
        self.node("Min", [x, zero], f"{name}.min")
        slope = self.constant(f"{name}.slope", (slope - np.float32(1)).reshape(shape))
        self.node("Mul", [self.last, slope], f"{name}.mul")
        self.node("Add", [x, self.last], name)

    def pool(self, name, kernel, overhang):
        self.node("MaxPool", [self.last], name, kernel_shape=[kernel] * 2, strides=[2, 2],
                  pads=[0, 0, overhang, overhang])

    def finish(self, output_name, output_shape):
        self.nodes[-1].output[0] = output_name
        output = helper.make_tensor_value_info(output_name, TensorProto.FLOAT, output_shape)
        graph = helper.make_graph(self.nodes, self.name, [self.input], [output], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8,
                                  producer_name="lectern convert_mtcnn.py")
        helper.set_model_props(model, {
            "source": f"{SOURCE}, data/{self.name}.pt, sha256 {WEIGHTS[self.name]}",
            "licence": LICENCE,
            "input": "RGB, 0 to 255, NCHW; normalisation is inside",
            "weights": "int8 for each output channel" if self.int8 else "f32",
        })
        onnx.checker.check_model(model, full_check=True)
        return model


def fold_normalisation(weight, bias):
    """conv((x - MEAN) * SCALE) as a conv of x; exact because the convolution pads nothing. Sums are taken in f64."""
    bias = bias.astype(np.float64) - MEAN * SCALE * weight.astype(np.float64).sum(axis=(1, 2, 3))
    return weight * np.float32(SCALE), bias.astype(np.float32)


def merge_heads(classes, *others):
    """One layer out of the (background, face) layer, taken as face minus background, and the regressions."""
    (weight, bias), rest = classes, list(others)
    weights = [weight[1:2] - weight[0:1]] + [w for w, _ in rest]
    biases = [bias[1:2] - bias[0:1]] + [b for _, b in rest]
    return np.concatenate(weights), np.concatenate(biases)


def unpermute(weight, channels, side):
    """A dense weight over (width, height, channel), as `permute(0,3,2,1)` lays it out, to (channel, height, width)."""
    outputs = len(weight)
    return weight.reshape(outputs, side, side, channels).transpose(0, 3, 2, 1).reshape(outputs, -1)


def build(name, net, int8):
    p = {key: value.detach().numpy() for key, value in net.state_dict().items()}

    def layer(key):
        return p[f"{key}.weight"], p[f"{key}.bias"]

    def conv_prelu(graph, index):
        weight, bias = layer(f"conv{index}")
        if index == 1:
            weight, bias = fold_normalisation(weight, bias)
        graph.conv(f"conv{index}", weight, bias)
        graph.prelu(f"prelu{index}", p[f"prelu{index}.weight"], rank=4)

    if name == "pnet":
        graph = Graph(name, "image", [1, 3, "H", "W"], int8)
        conv_prelu(graph, 1)
        graph.pool("pool1", 2, overhang=1)
        conv_prelu(graph, 2)
        conv_prelu(graph, 3)
        graph.conv("conv4", *merge_heads(layer("conv4_1"), layer("conv4_2")))
        return graph.finish("cells", [1, 5, "h", "w"])

    if name == "rnet":
        graph = Graph(name, "face", [1, 3, 24, 24], int8)
        conv_prelu(graph, 1)                     # 22
        graph.pool("pool1", 3, overhang=1)       # 11
        conv_prelu(graph, 2)                     # 9
        graph.pool("pool2", 3, overhang=0)       # 4
        conv_prelu(graph, 3)                     # 3
        hidden, channels, outputs = 4, 64, 5
        heads = merge_heads(layer("dense5_1"), layer("dense5_2"))
    else:
        graph = Graph(name, "face", [1, 3, 48, 48], int8)
        conv_prelu(graph, 1)                     # 46
        graph.pool("pool1", 3, overhang=1)       # 23
        conv_prelu(graph, 2)                     # 21
        graph.pool("pool2", 3, overhang=0)       # 10
        conv_prelu(graph, 3)                     # 8
        graph.pool("pool3", 2, overhang=0)       # 4
        conv_prelu(graph, 4)                     # 3
        hidden, channels, outputs = 5, 128, 15
        heads = merge_heads(layer("dense6_1"), layer("dense6_2"), layer("dense6_3"))

    weight, bias = layer(f"dense{hidden}")
    graph.node("Flatten", [graph.last], "flatten", axis=1)
    graph.dense(f"dense{hidden}", unpermute(weight, channels, 3), bias)
    graph.prelu(f"prelu{hidden}", p[f"prelu{hidden}.weight"], rank=2)
    graph.dense(f"dense{hidden + 1}", *heads)
    return graph.finish("head", [1, outputs])


def original(name, net, raw):
    """The original's outputs for raw RGB, as {output: array}, with the logits taken in front of its softmax."""
    import torch

    logits = []
    softmax = net.softmax4_1 if name == "pnet" else net.softmax5_1 if name == "rnet" else net.softmax6_1
    hook = softmax.register_forward_pre_hook(lambda _, inputs: logits.append(inputs[0]))
    with torch.no_grad():
        out = net((torch.from_numpy(raw) - MEAN) * SCALE)
    hook.remove()
    result = {"logit": (logits[0][:, 1] - logits[0][:, 0]), "probability": out[-1][:, 1], "offsets": out[0]}
    if name == "onet":
        result["landmarks"] = out[1]
    return {key: value.numpy() for key, value in result.items()}


def converted(name, session, raw):
    rows = [session.run(None, {session.get_inputs()[0].name: sample[None]})[0] for sample in raw]
    head = np.concatenate(rows)
    result = {"logit": head[:, 0], "probability": 1 / (1 + np.exp(-head[:, 0])), "offsets": head[:, 1:5]}
    if name == "onet":
        result["landmarks"] = head[:, 5:]
    return result


def samples(name, portrait):
    """Raw RGB inputs by kind: uniform noise, and the portrait at several sizes (P) or in windows of it (R and O)."""
    import torch
    from torch.nn.functional import interpolate

    random = np.random.default_rng(2016)
    picture = torch.from_numpy(portrait.transpose(2, 0, 1)[None].astype(np.float32))
    height, width = picture.shape[2:]
    if name == "pnet":
        noise = [(1, 3, 12, 12), (1, 3, 13, 12), (1, 3, 47, 64), (1, 3, 120, 91)]
        yield from (("noise", random.uniform(0, 255, size).astype(np.float32)) for size in noise)
        for scale in (1.0, 0.6, 0.3, 0.15, 0.06):
            size = (int(height * scale + 1), int(width * scale + 1))
            yield "portrait", interpolate(picture, size=size, mode="area").numpy()
        return
    side = 24 if name == "rnet" else 48
    yield "noise", random.uniform(0, 255, (64, 3, side, side)).astype(np.float32)
    windows = []
    for edge in (60, 100, 160, 240):
        for top in range(0, height - edge + 1, max(30, edge // 2)):
            for left in range(0, width - edge + 1, max(30, edge // 2)):
                window = picture[:, :, top:top + edge, left:left + edge]
                windows.append(interpolate(window, size=(side, side), mode="area").numpy())
    yield "portrait", np.concatenate(windows)


def check(name, net, path, portrait):
    """The largest absolute difference to the original for each kind of input and output."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    worst = {}
    for kind, raw in samples(name, portrait):
        want, got = original(name, net, raw), converted(name, session, raw)
        for key, value in want.items():
            assert value.shape == got[key].shape, (name, key, value.shape, got[key].shape)
            # The original's sigmoid of logits far below zero underflows less gracefully than ours: compare as f64.
            difference = float(np.abs(value.astype(np.float64) - got[key]).max())
            field = worst.setdefault(kind, {}).setdefault(key, 0.0)
            worst[kind][key] = max(field, difference)
    return {kind: {key: float(f"{value:.3g}") for key, value in fields.items()} for kind, fields in worst.items()}


def main():
    models = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=models, help="folder for the three files (default: models/)")
    parser.add_argument("--int8-weights", nargs="*", choices=list(WEIGHTS), metavar="NET",
                        help="store the weights of these nets, or of all, as int8 with a scale a channel")
    parser.add_argument("--check", metavar="PICTURE", help="compare with the original on noise and on this picture")
    parser.add_argument("--report", metavar="FILE", help="write hashes and differences as JSON here")
    options = parser.parse_args()

    import facenet_pytorch
    import torch
    from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
    from PIL import Image

    torch.set_num_threads(1)
    data = os.path.join(os.path.dirname(facenet_pytorch.__file__), "data")
    int8 = list(WEIGHTS) if options.int8_weights == [] else options.int8_weights or []
    portrait = np.asarray(Image.open(options.check).convert("RGB")) if options.check else None
    report = {"source": SOURCE, "licence": LICENCE, "files": {}}
    os.makedirs(options.out, exist_ok=True)
    for name, kind in (("pnet", PNet), ("rnet", RNet), ("onet", ONet)):
        found = sha256(os.path.join(data, f"{name}.pt"))
        if found != WEIGHTS[name]:
            sys.exit(f"{name}.pt: sha256 is {found}, expected {WEIGHTS[name]}: install facenet-pytorch 2.6.0")
        net = kind().eval()
        path = os.path.join(options.out, f"{name}.onnx")
        with open(path, "wb") as file:
            file.write(build(name, net, name in int8).SerializeToString(deterministic=True))
        weights = "int8" if name in int8 else "f32"
        entry = {"weights": weights, "from_sha256": found, "sha256": sha256(path), "bytes": os.path.getsize(path)}
        if portrait is not None:
            entry["max_difference"] = check(name, net, path, portrait)
        report["files"][f"{name}.onnx"] = entry
        print(f"{name}.onnx  {weights}  {entry['bytes']} bytes  sha256 {entry['sha256']}")
        for source, fields in entry.get("max_difference", {}).items():
            print(f"    {source}: " + ", ".join(f"{key} {value:.3g}" for key, value in fields.items()))
    if options.report:
        with open(options.report, "w") as file:
            json.dump(report, file, indent=2)
            file.write("\n")


if __name__ == "__main__":
    main()
