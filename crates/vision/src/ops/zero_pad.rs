//! Zero padding of channels, before a convolution.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{Conv, PaddingSpec, PoolSpec};
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::graph::{Patched, channels_of};

/// So many zeros before and after, on both axes.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct ZeroPad(usize);

/// Pads before the convolution; tract's own padding is generic over tensors, and slow.
pub(super) fn rule(model: &TypedModel, node: &TypedNode, name: &str, conv: &Conv) -> Patched {
    let spec = &conv.pool_spec;
    rule_if!(conv.q_params.is_none() && spec.data_format == DataFormat::NCHW);
    rule_if_let!(PaddingSpec::Explicit(before, after) = &spec.padding);
    rule_if_let!(&[width, across] = &before[..]);
    rule_if!(width > 0 && across == width && after == before);
    rule_if_some!(_shape = channels_of(model, node.inputs[0]));
    let mut patch = TypedModelPatch::default();
    let mut inputs = patch.taps(model, &node.inputs)?;
    inputs[0] = patch.wire_node(format!("{name}.border"), ZeroPad(width), &inputs[..1])?[0];
    let pool_spec = PoolSpec { padding: PaddingSpec::Valid, ..spec.clone() };
    let output = patch.wire_node(name, Conv { pool_spec, ..conv.clone() }, &inputs)?[0];
    patch.shunt_outside(model, node.id.into(), output)?;
    Ok(Some(patch))
}

impl Op for ZeroPad {
    fn name(&self) -> StaticName {
        "Border".into()
    }

    op_as_typed_op!();
}

impl EvalOp for ZeroPad {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let x = args_1!(inputs);
        let &[_, channels, height, width] = x.shape() else { bail!("a border goes around NCHW") };
        let (tall, wide) = (height + 2 * self.0, width + 2 * self.0);
        let mut padded = Tensor::zero::<f32>(&[1, channels, tall, wide])?;
        let mut plain = padded.try_as_plain_ram_mut()?;
        let planes = plain.as_slice_mut::<f32>()?.chunks_exact_mut(tall * wide);
        let x = x.try_as_plain_ram()?;
        for (plane, x) in planes.zip(x.as_slice::<f32>()?.chunks_exact(height * width)) {
            let rows = plane.chunks_exact_mut(wide).skip(self.0);
            for (row, x) in rows.zip(x.chunks_exact(width)) {
                row[self.0..][..width].copy_from_slice(x);
            }
        }
        Ok(tvec!(padded.into_tvalue()))
    }
}

impl TypedOp for ZeroPad {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape = inputs[0].shape.to_tvec();
        shape[2..].iter_mut().for_each(|side| *side += 2 * self.0);
        Ok(tvec!(f32::fact(shape)))
    }

    as_op!();
}
