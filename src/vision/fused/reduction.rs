//! Reductions of channels or of their pixels.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::graph::larger;
use super::graph::{Patched, channels_of, put};

/// What attention reads from the channels.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq)]
enum Reduction {
    /// The largest pixel of each channel, `[1, C, 1, 1]`.
    Largest,
    /// The sum of the channels at each pixel, `[1, 1, H, W]`.
    Sum,
}

pub(super) fn rule(model: &TypedModel, node: &TypedNode, name: &str, reduce: &Reduce) -> Patched {
    rule_if_some!(_shape = channels_of(model, node.inputs[0]));
    let reduction = match (&reduce.axes[..], reduce.reducer) {
        ([2, 3], Reducer::Max) => Reduction::Largest,
        ([1], Reducer::Sum) => Reduction::Sum,
        _ => return Ok(None),
    };
    put(model, node, name, reduction, &node.inputs)
}

impl Op for Reduction {
    fn name(&self) -> StaticName {
        match self {
            Self::Largest => "LargestPixel".into(),
            Self::Sum => "SumOfChannels".into(),
        }
    }

    op_as_typed_op!();
}

impl EvalOp for Reduction {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let x = args_1!(inputs);
        let &[_, channels, height, width] = x.shape() else { bail!("a reduction takes NCHW") };
        let x = x.try_as_plain_ram()?;
        let planes = x.as_slice::<f32>()?.chunks_exact(height * width);
        let reduced = match self {
            Self::Largest => {
                let largest: Vec<f32> = planes.map(largest).collect();
                Tensor::from_shape(&[1, channels, 1, 1], &largest)?
            }
            Self::Sum => {
                let mut sums = vec![0.0; height * width];
                for plane in planes {
                    sums.iter_mut().zip(plane).for_each(|(sum, value)| *sum += value);
                }
                Tensor::from_shape(&[1, 1, height, width], &sums)?
            }
        };
        Ok(tvec!(reduced.into_tvalue()))
    }
}

impl TypedOp for Reduction {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let one = 1.to_dim();
        let [_, channels, height, width] = [0, 1, 2, 3].map(|axis| inputs[0].shape[axis].clone());
        Ok(tvec!(match self {
            Self::Largest => f32::fact([one.clone(), channels, one.clone(), one]),
            Self::Sum => f32::fact([one.clone(), one, height, width]),
        }))
    }

    as_op!();
}

/// In lanes, because a single running maximum would wait for itself.
fn largest(plane: &[f32]) -> f32 {
    let (chunks, rest) = plane.as_chunks::<16>();
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in chunks {
        for (most, value) in lanes.iter_mut().zip(chunk) {
            *most = larger(*most, *value);
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |most, value| larger(most, *value))
}
