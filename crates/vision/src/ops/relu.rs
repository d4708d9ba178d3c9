//! ReLU.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;

use super::graph::larger;
use super::graph::{Patched, channels_of, is_zero, put};

/// `max(x, 0)`, which tract cuts into small pieces.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Relu;

pub(super) fn rule(model: &TypedModel, node: &TypedNode, name: &str, max: &TypedBinOp) -> Patched {
    rule_if!(max.0.name() == "Max");
    let [x, zero] = node.inputs[..] else { return Ok(None) };
    rule_if_some!([_, _, height, width] = channels_of(model, x));
    rule_if!(height * width > 1 && is_zero(model, zero));
    put(model, node, name, Relu, &[x])
}

impl Op for Relu {
    fn name(&self) -> StaticName {
        "Relu".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Relu {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut x = args_1!(inputs).into_tensor();
        let mut plain = x.try_as_plain_ram_mut()?;
        plain.as_slice_mut::<f32>()?.iter_mut().for_each(|value| *value = larger(*value, 0.0));
        Ok(tvec!(x.into_tvalue()))
    }
}

impl TypedOp for Relu {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}
