//! The product of channels and a plane.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;

use super::graph::{Patched, channels_of, put};

/// Each channel times the same plane: spatial attention.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct BroadcastMul;

pub(super) fn rule(model: &TypedModel, node: &TypedNode, name: &str, mul: &TypedBinOp) -> Patched {
    rule_if!(mul.0.name() == "Mul");
    let [x, plane] = node.inputs[..] else { return Ok(None) };
    rule_if_some!([_, channels, height, width] = channels_of(model, x));
    rule_if!(channels > 1 && height * width > 1);
    rule_if!(channels_of(model, plane) == Some([1, 1, height, width]));
    put(model, node, name, BroadcastMul, &[x, plane])
}

impl Op for BroadcastMul {
    fn name(&self) -> StaticName {
        "ByPlane".into()
    }

    op_as_typed_op!();
}

impl EvalOp for BroadcastMul {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (x, plane) = args_2!(inputs);
        let plane = plane.try_as_plain_ram()?;
        let plane = plane.as_slice::<f32>()?;
        let mut x = x.into_tensor();
        let mut plain = x.try_as_plain_ram_mut()?;
        for channel in plain.as_slice_mut::<f32>()?.chunks_exact_mut(plane.len()) {
            channel.iter_mut().zip(plane).for_each(|(value, factor)| *value *= factor);
        }
        Ok(tvec!(x.into_tvalue()))
    }
}

impl TypedOp for BroadcastMul {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}
