//! P-Net's first two convolutions without gathering what they multiply: they are too small for a matrix product.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::conv::DirectSpatialConv;
use tract_onnx::tract_core::ops::cnn::pools::ConcretePoolGeometry;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat};
use tract_onnx::tract_core::ops::nn::DataFormat;
use tract_onnx::tract_core::tract_linalg::routines::{conv_w4_f32, depthwise_w_f32};

use super::graph::{Patched, channels_of, put};

/// The most taps of a kernel times input channels: few for a matrix product.
const MAX_TAPS: usize = 90;

/// The most output channels: few for a matrix product.
const MAX_CHANNELS: usize = 16;

/// The fewest pixels in a row: tract keeps this kernel for wide ones.
const NARROWEST: usize = 24;

/// Does such a convolution directly.
pub(super) fn rule(model: &TypedModel, node: &TypedNode, name: &str, conv: &Conv) -> Patched {
    let spec = &conv.pool_spec;
    rule_if!(conv.q_params.is_none() && conv.group == 1 && conv.kernel_fmt == KernelFormat::OIHW);
    rule_if!(spec.data_format == DataFormat::NCHW && spec.kernel_shape.len() == 2);
    let channels = spec.output_channels;
    let taps = spec.input_channels * spec.kernel_shape.iter().product::<usize>();
    rule_if!(taps <= MAX_TAPS && channels <= MAX_CHANNELS);
    rule_if!(conv_w4_f32().is_some() && (channels.is_multiple_of(4) || depthwise_w_f32().is_some()));
    let [x, _, bias] = node.inputs[..] else { return Ok(None) };
    rule_if_some!(shape = channels_of(model, x));
    rule_if!(model.outlet_fact(bias)?.shape.as_concrete() == Some(&[channels]));
    let geometry = spec.compute_geo(&model.outlet_fact(x)?.shape)?.to_concrete(&shape)?.into_owned();
    let ConcretePoolGeometry { input_shape, patch, output_shape } = geometry;
    rule_if!(output_shape.hw_dims()[1] >= NARROWEST);
    put(model, node, name, DirectSpatialConv::new(patch, input_shape, output_shape), &node.inputs)
}
