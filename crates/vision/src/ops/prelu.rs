//! PReLU, with the pooling after it.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::MaxPool;

use super::graph::larger;
use super::graph::{Patched, binary, channels_of, constant, is_zero, put};
use super::pool::Pool;

/// `x + slope * min(x, 0)`, as `models/training/detector/convert_mtcnn.py` writes PReLU, and what follows it.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Prelu {
    pool: Option<Pool>,
}

/// Replaces the minimum, product and sum that it is written as.
pub(super) fn rule(model: &TypedModel, node: &TypedNode, name: &str, add: &TypedBinOp) -> Patched {
    rule_if!(add.0.name() == "Add");
    let [x, product] = node.inputs[..] else { return Ok(None) };
    rule_if_some!(shape = channels_of(model, x));
    rule_if_some!(mul = binary(model, product, "Mul"));
    rule_if_some!(min = binary(model, mul.inputs[0], "Min"));
    rule_if!(min.inputs[0] == x && is_zero(model, min.inputs[1]));
    rule_if_some!(slope = constant(model, mul.inputs[1]));
    rule_if!(slope.shape() == [1, shape[1], 1, 1]);
    put(model, node, name, Prelu { pool: None }, &[x, mul.inputs[1]])
}

/// Takes the pooling after it in.
pub(super) fn rule_before_pool(model: &TypedModel, node: &TypedNode, name: &str, max: &MaxPool) -> Patched {
    rule_if!(max.with_index_outputs.is_none());
    let before = model.node(node.inputs[0].node);
    rule_if!(before.op_is::<Prelu>() && before.outputs[0].successors.len() == 1);
    rule_if_some!(shape = channels_of(model, node.inputs[0]));
    rule_if_some!(pool = Pool::new(&max.pool_spec, shape));
    put(model, node, name, Prelu { pool: Some(pool) }, &before.inputs)
}

impl Op for Prelu {
    fn name(&self) -> StaticName {
        if self.pool.is_some() { "PreluMaxPool".into() } else { "Prelu".into() }
    }

    op_as_typed_op!();
}

impl EvalOp for Prelu {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (x, slopes) = args_2!(inputs);
        let slopes = slopes.try_as_plain_ram()?;
        let slopes = slopes.as_slice::<f32>()?;
        let &[_, channels, height, width] = x.shape() else { bail!("PReLU takes NCHW") };
        let Some(pool) = &self.pool else {
            let mut x = x.into_tensor();
            let mut plain = x.try_as_plain_ram_mut()?;
            let planes = plain.as_slice_mut::<f32>()?.chunks_exact_mut(height * width);
            for (plane, &slope) in planes.zip(slopes) {
                plane.iter_mut().for_each(|value| *value = sloped(*value, slope));
            }
            return Ok(tvec!(x.into_tvalue()));
        };
        let mut pooled = Tensor::zero::<f32>(&[1, channels, pool.height, pool.width])?;
        let mut plain = pooled.try_as_plain_ram_mut()?;
        let outputs = plain.as_slice_mut::<f32>()?.chunks_exact_mut(pool.height * pool.width);
        let x = x.try_as_plain_ram()?;
        let planes = x.as_slice::<f32>()?.chunks_exact(height * width);
        // What is beyond the border is no maximum.
        let mut tallest = vec![f32::NEG_INFINITY; width.max(2 * pool.width + 2)];
        for ((plane, output), &slope) in planes.zip(outputs).zip(slopes) {
            for (y, output) in output.chunks_exact_mut(pool.width).enumerate() {
                let (first, rest) = plane[2 * y * width..].split_at(width);
                for (most, value) in tallest.iter_mut().zip(first) {
                    *most = sloped(*value, slope);
                }
                for row in rest.chunks_exact(width).take(pool.kernel - 1) {
                    for (most, value) in tallest.iter_mut().zip(row) {
                        *most = larger(*most, sloped(*value, slope));
                    }
                }
                let pairs = tallest.as_chunks::<2>().0;
                for (output, [left, right]) in output.iter_mut().zip(pairs) {
                    *output = larger(*left, *right);
                }
                if pool.kernel == 3 {
                    for (output, [third, _]) in output.iter_mut().zip(&pairs[1..]) {
                        *output = larger(*output, *third);
                    }
                }
            }
        }
        Ok(tvec!(pooled.into_tvalue()))
    }
}

impl TypedOp for Prelu {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let Some(pool) = &self.pool else { return Ok(tvec!(inputs[0].without_value())) };
        let channels = inputs[0].shape[1].clone();
        Ok(tvec!(f32::fact([1.to_dim(), channels, pool.height.to_dim(), pool.width.to_dim()])))
    }

    as_op!();
}

fn sloped(x: f32, slope: f32) -> f32 {
    x + slope * if x < 0.0 { x } else { 0.0 }
}
