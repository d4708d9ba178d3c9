//! Reductions of channels or of their pixels.

use std::ops::Add;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::MaxPool;
use tract_onnx::tract_core::ops::nn::{DataFormat, Reduce, Reducer};

use super::graph::larger;
use super::graph::{Patched, channels_of, put};

/// What attention reads from the channels.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq)]
enum Reduction {
    /// The largest pixel of each channel, `[1, C, 1, 1]`.
    LargestPixel,
    /// The sum of the pixels of each channel, `[1, C, 1, 1]`.
    SumOfPixels,
    /// The largest channel at each pixel, `[1, 1, 1, P]` of `[1, 1, C, P]`.
    LargestChannel,
    /// The sum of the channels at each pixel, `[1, 1, H, W]`.
    SumOfChannels,
}

pub(super) fn rule(model: &TypedModel, node: &TypedNode, name: &str, reduce: &Reduce) -> Patched {
    rule_if_some!(_shape = channels_of(model, node.inputs[0]));
    let reduction = match (&reduce.axes[..], reduce.reducer) {
        ([2, 3], Reducer::Max) => Reduction::LargestPixel,
        ([2, 3], Reducer::Sum) => Reduction::SumOfPixels,
        ([1], Reducer::Sum) => Reduction::SumOfChannels,
        _ => return Ok(None),
    };
    put(model, node, name, reduction, &node.inputs)
}

/// The shipped file's maximum over channels: a pool over all rows of a picture that has a row for each channel.
pub(super) fn rule_over_rows(model: &TypedModel, node: &TypedNode, name: &str, pool: &MaxPool) -> Patched {
    let spec = &pool.pool_spec;
    rule_if_some!([_, one, channels, pixels] = channels_of(model, node.inputs[0]));
    rule_if!(one == 1 && spec.kernel_shape[..] == [channels, 1] && spec.data_format == DataFormat::NCHW);
    rule_if!(channels_of(model, node.id.into()) == Some([1, 1, 1, pixels]));
    put(model, node, name, Reduction::LargestChannel, &node.inputs)
}

impl Op for Reduction {
    fn name(&self) -> StaticName {
        format!("{self:?}").into()
    }

    op_as_typed_op!();
}

impl EvalOp for Reduction {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let x = args_1!(inputs);
        let shape = self.of([0, 1, 2, 3].map(|axis| x.shape()[axis]), 1);
        let plain = x.try_as_plain_ram()?;
        let x = plain.as_slice::<f32>()?;
        let planes = |count: usize| x.chunks_exact(x.len() / count);
        let reduced = match self {
            Self::LargestPixel => {
                planes(shape[1]).map(|plane| within(plane, f32::NEG_INFINITY, larger)).collect()
            }
            Self::SumOfPixels => planes(shape[1]).map(|plane| within(plane, 0.0, f32::add)).collect(),
            Self::LargestChannel => over(x, shape[3], larger),
            Self::SumOfChannels => over(x, shape[2] * shape[3], f32::add),
        };
        Ok(tvec!(Tensor::from_shape(&shape, &reduced)?.into_tvalue()))
    }
}

impl TypedOp for Reduction {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = [0, 1, 2, 3].map(|axis| inputs[0].shape[axis].clone());
        Ok(tvec!(f32::fact(self.of(shape, 1.to_dim()))))
    }

    as_op!();
}

impl Reduction {
    /// What it makes of a shape.
    fn of<D: Clone>(self, [picture, channels, height, width]: [D; 4], one: D) -> [D; 4] {
        match self {
            Self::LargestPixel | Self::SumOfPixels => [picture, channels, one.clone(), one],
            Self::LargestChannel => [picture, channels, one, width],
            Self::SumOfChannels => [picture, one, height, width],
        }
    }
}

/// The rows of `x`, each `length` long, put together into one.
fn over(x: &[f32], length: usize, together: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let (first, rest) = x.split_at(length);
    let mut row = first.to_vec();
    for other in rest.chunks_exact(length) {
        row.iter_mut().zip(other).for_each(|(kept, value)| *kept = together(*kept, *value));
    }
    row
}

/// In lanes, because a single running figure would wait for itself.
fn within(plane: &[f32], first: f32, together: impl Fn(f32, f32) -> f32) -> f32 {
    let (chunks, rest) = plane.as_chunks::<16>();
    let mut lanes = [first; 16];
    for chunk in chunks {
        for (kept, value) in lanes.iter_mut().zip(chunk) {
            *kept = together(*kept, *value);
        }
    }
    lanes.iter().chain(rest).fold(first, |kept, value| together(kept, *value))
}
