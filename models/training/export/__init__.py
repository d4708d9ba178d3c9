"""From a checkpoint to expression.onnx, and the fixtures that hold it."""
