//! Mean pooling.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::SumPool;

use super::graph::{Patched, channels_of, put};
use super::pool::Pool;

/// Means of 2x2 pixels.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct MeanPool;

pub(super) fn rule(model: &TypedModel, node: &TypedNode, name: &str, sum: &SumPool) -> Patched {
    rule_if!(sum.normalize);
    rule_if_some!(shape = channels_of(model, node.inputs[0]));
    rule_if_some!(pool = Pool::new(&sum.pool_spec, shape));
    rule_if!(pool.kernel == 2 && [2 * pool.height, 2 * pool.width] == shape[2..]);
    put(model, node, name, MeanPool, &node.inputs)
}

impl Op for MeanPool {
    fn name(&self) -> StaticName {
        "MeanPool".into()
    }

    op_as_typed_op!();
}

impl EvalOp for MeanPool {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let x = args_1!(inputs);
        let &[_, channels, height, width] = x.shape() else { bail!("a pool takes NCHW") };
        let mut means = Tensor::zero::<f32>(&[1, channels, height / 2, width / 2])?;
        let mut plain = means.try_as_plain_ram_mut()?;
        let x = x.try_as_plain_ram()?;
        // Pairs of rows do not cross channels, because the height is even.
        let rows = x.as_slice::<f32>()?.chunks_exact(2 * width);
        for (means, rows) in plain.as_slice_mut::<f32>()?.chunks_exact_mut(width / 2).zip(rows) {
            let (upper, lower) = rows.split_at(width);
            let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            for (mean, (upper, lower)) in means.iter_mut().zip(pairs) {
                *mean = 0.25 * (upper[0] + upper[1] + lower[0] + lower[1]);
            }
        }
        Ok(tvec!(means.into_tvalue()))
    }
}

impl TypedOp for MeanPool {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = &inputs[0].shape;
        let [height, width] = [shape[2].clone() / 2, shape[3].clone() / 2];
        Ok(tvec!(f32::fact([1.to_dim(), shape[1].clone(), height, width])))
    }

    as_op!();
}
