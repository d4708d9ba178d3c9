//! Queries and patches of a graph, for the rules.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::tract_data::itertools::Itertools;

/// The result of a rule: a patch, or none where it does not apply.
pub(super) type Patched = TractResult<Option<TypedModelPatch>>;

/// A patch that puts `op` over `inputs` in the place of `node`.
pub(super) fn put(
    model: &TypedModel,
    node: &TypedNode,
    name: &str,
    op: impl Into<Box<dyn TypedOp>>,
    inputs: &[OutletId],
) -> Patched {
    let mut patch = TypedModelPatch::default();
    let inputs: TVec<_> = inputs.iter().map(|input| patch.tap_model(model, *input)).try_collect()?;
    let output = patch.wire_node(name, op, &inputs)?[0];
    patch.shunt_outside(model, node.id.into(), output)?;
    Ok(Some(patch))
}

/// The concrete shape of an outlet with one picture of f32 channels.
pub(super) fn channels_of(model: &TypedModel, outlet: OutletId) -> Option<[usize; 4]> {
    let fact = model.outlet_fact(outlet).ok()?;
    let shape: [usize; 4] = fact.shape.as_concrete()?.try_into().ok()?;
    (fact.datum_type == f32::datum_type() && shape[0] == 1).then_some(shape)
}

/// The node behind an outlet, if it is this binary operator.
pub(super) fn binary<'a>(model: &'a TypedModel, outlet: OutletId, name: &str) -> Option<&'a TypedNode> {
    let node = model.node(outlet.node);
    node.op_as::<TypedBinOp>().filter(|op| op.0.name() == name).map(|_| node)
}

/// The constant that an outlet always has.
pub(super) fn constant(model: &TypedModel, outlet: OutletId) -> Option<Arc<Tensor>> {
    model.outlet_fact(outlet).ok()?.konst.clone()
}

/// Whether an outlet always has the single number 0.
pub(super) fn is_zero(model: &TypedModel, outlet: OutletId) -> bool {
    constant(model, outlet).is_some_and(|value| {
        value.len() == 1 && value.cast_to_scalar::<f32>().is_ok_and(|value| value == 0.0)
    })
}

/// The larger of two numbers, with NaN unspecified: one instruction.
#[inline]
pub(super) fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}
