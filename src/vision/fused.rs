//! Operators of our own, where tract's go over the same numbers several times or one by one: half of a search and a
//! quarter of a classification were spent in them, not in convolutions.
//!
//! [`replace`] puts them into a decluttered graph. Each computes what the replaced ones did, in the same arithmetic; sums
//! over channels are taken in order. All data is f32, NCHW, batch 1.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::model::Rewriter;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::conv::DirectSpatialConv;
use tract_onnx::tract_core::ops::cnn::pools::ConcretePoolGeometry;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::nn::{DataFormat, Reduce, Reducer};
use tract_onnx::tract_core::tract_data::itertools::Itertools;
use tract_onnx::tract_core::tract_linalg::routines::{conv_w4_f32, depthwise_w_f32};

/// Replaces what can be replaced.
pub(super) fn replace(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::<()>::default()
        .with_rule_for("direct", |(), model, node, name, conv| direct(model, node, name, conv))
        .with_rule_for("prelu", |(), model, node, name, add| prelu(model, node, name, add))
        .with_rule_for("relu", |(), model, node, name, max| relu(model, node, name, max))
        .with_rule_for("prelu-pool", |(), model, node, name, pool| prelu_pool(model, node, name, pool))
        .with_rule_for("by-plane", |(), model, node, name, mul| by_plane(model, node, name, mul))
        .with_rule_for("mean-pool", |(), model, node, name, pool| mean_pool(model, node, name, pool))
        .with_rule_for("reduce", |(), model, node, name, reduce| reduction(model, node, name, reduce))
        .rewrite(&(), model)
}

type Patched = TractResult<Option<TypedModelPatch>>;

/// A patch that puts `op` over `inputs` in the place of `node`.
fn put(
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
fn channels_of(model: &TypedModel, outlet: OutletId) -> Option<[usize; 4]> {
    let fact = model.outlet_fact(outlet).ok()?;
    let shape: [usize; 4] = fact.shape.as_concrete()?.try_into().ok()?;
    (fact.datum_type == f32::datum_type() && shape[0] == 1).then_some(shape)
}

/// The node behind an outlet, if it is this binary operator.
fn binary<'a>(model: &'a TypedModel, outlet: OutletId, name: &str) -> Option<&'a TypedNode> {
    let node = model.node(outlet.node);
    node.op_as::<TypedBinOp>().filter(|op| op.0.name() == name).map(|_| node)
}

/// The constant that an outlet always has.
fn constant(model: &TypedModel, outlet: OutletId) -> Option<Arc<Tensor>> {
    model.outlet_fact(outlet).ok()?.konst.clone()
}

fn is_zero(model: &TypedModel, outlet: OutletId) -> bool {
    constant(model, outlet).is_some_and(|value| {
        value.len() == 1 && value.cast_to_scalar::<f32>().is_ok_and(|value| value == 0.0)
    })
}

/// Up to so many taps of a kernel times input channels, and to so many output channels, which are few for a matrix product,
const MOST_TAPS: usize = 90;
const MOST_CHANNELS: usize = 16;
/// and from so many pixels in a row, a convolution is done directly, by the kernel that tract keeps for wide rows.
const NARROWEST: usize = 24;

/// P-Net's first two convolutions without gathering what they multiply.
fn direct(model: &TypedModel, node: &TypedNode, name: &str, conv: &Conv) -> Patched {
    let spec = &conv.pool_spec;
    rule_if!(conv.q_params.is_none() && conv.group == 1 && conv.kernel_fmt == KernelFormat::OIHW);
    rule_if!(spec.data_format == DataFormat::NCHW && spec.kernel_shape.len() == 2);
    let channels = spec.output_channels;
    let taps = spec.input_channels * spec.kernel_shape.iter().product::<usize>();
    rule_if!(taps <= MOST_TAPS && channels <= MOST_CHANNELS);
    rule_if!(conv_w4_f32().is_some() && (channels.is_multiple_of(4) || depthwise_w_f32().is_some()));
    let [x, _, bias] = node.inputs[..] else { return Ok(None) };
    rule_if_some!(shape = channels_of(model, x));
    rule_if!(model.outlet_fact(bias)?.shape.as_concrete() == Some(&[channels]));
    let geometry = spec.compute_geo(&model.outlet_fact(x)?.shape)?.to_concrete(&shape)?.into_owned();
    let ConcretePoolGeometry { input_shape, patch, output_shape } = geometry;
    rule_if!(output_shape.hw_dims()[1] >= NARROWEST);
    put(model, node, name, DirectSpatialConv::new(patch, input_shape, output_shape), &node.inputs)
}

/// `x + slope * min(x, 0)`, as `models/training/convert_mtcnn.py` writes PReLU, and what follows it.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Prelu {
    pool: Option<Pool>,
}

/// Pooling by steps of 2 from the first pixel; windows end at the border.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Pool {
    /// Side of a window, 2 or 3.
    kernel: usize,
    /// Of the output.
    height: usize,
    width: usize,
}

impl Pool {
    fn new(spec: &PoolSpec, [_, _, height, width]: [usize; 4]) -> Option<Self> {
        let &[kernel @ (2 | 3), across] = &spec.kernel_shape[..] else { return None };
        let twos = spec.strides.as_ref().is_some_and(|strides| strides[..] == [2, 2]);
        let dense = spec.dilations.as_ref().is_none_or(|dilations| dilations[..] == [1, 1]);
        if across != kernel || !twos || !dense || spec.data_format != DataFormat::NCHW {
            return None;
        }
        let padding = spec.computed_padding(&[height, width]);
        let whole = padding.iter().zip([height, width]).all(|(side, length)| {
            // The last window begins within the picture.
            side.pad_before == 0 && side.convoluted > 0 && 2 * (side.convoluted - 1) < length
        });
        whole.then(|| Self { kernel, height: padding[0].convoluted, width: padding[1].convoluted })
    }
}

fn prelu(model: &TypedModel, node: &TypedNode, name: &str, add: &TypedBinOp) -> Patched {
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

fn prelu_pool(model: &TypedModel, node: &TypedNode, name: &str, max: &MaxPool) -> Patched {
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

/// Without a word on NaN, which is one instruction.
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// `max(x, 0)`, which tract cuts into small pieces.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Relu;

fn relu(model: &TypedModel, node: &TypedNode, name: &str, max: &TypedBinOp) -> Patched {
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

/// Each channel times the same plane: spatial attention.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct ByPlane;

fn by_plane(model: &TypedModel, node: &TypedNode, name: &str, mul: &TypedBinOp) -> Patched {
    rule_if!(mul.0.name() == "Mul");
    let [x, plane] = node.inputs[..] else { return Ok(None) };
    rule_if_some!([_, channels, height, width] = channels_of(model, x));
    rule_if!(channels > 1 && height * width > 1);
    rule_if!(channels_of(model, plane) == Some([1, 1, height, width]));
    put(model, node, name, ByPlane, &[x, plane])
}

impl Op for ByPlane {
    fn name(&self) -> StaticName {
        "ByPlane".into()
    }

    op_as_typed_op!();
}

impl EvalOp for ByPlane {
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

impl TypedOp for ByPlane {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}

/// Means of 2x2 pixels.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct MeanPool;

fn mean_pool(model: &TypedModel, node: &TypedNode, name: &str, sum: &SumPool) -> Patched {
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

/// What attention reads from the channels.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq)]
enum Reduction {
    /// The largest pixel of each channel, `[1, C, 1, 1]`.
    Largest,
    /// The sum of the channels at each pixel, `[1, 1, H, W]`.
    Sum,
}

fn reduction(model: &TypedModel, node: &TypedNode, name: &str, reduce: &Reduce) -> Patched {
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

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::prelude::{InferenceModelExt, onnx};

    /// The network as tract runs it by itself and as it is with our operators, and the names of the latter's.
    fn both(file: &str, shape: &[usize]) -> (Vec<f32>, Vec<f32>, Vec<String>) {
        let path = std::path::Path::new("models").join(file);
        let decluttered = || {
            let model = onnx().model_for_path(&path).unwrap();
            let model = model.with_input_fact(0, f32::fact(shape).into()).unwrap();
            model.into_typed().unwrap().into_decluttered().unwrap()
        };
        let mut replaced = decluttered();
        replace(&mut replaced).unwrap();
        let names = replaced.nodes().iter().map(|node| node.op.name().into_owned()).collect();
        let mut random = 1u32;
        let input: Vec<f32> = (0..shape.iter().product())
            .map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from(random.to_le_bytes()[3])
            })
            .collect();
        let [plain, fused] = [decluttered(), replaced].map(|model| {
            let plan = model.into_optimized().unwrap().into_runnable().unwrap();
            let input = Tensor::from_shape(shape, &input).unwrap();
            let output = plan.run(tvec!(input.into_tvalue())).unwrap().remove(0);
            output.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec()
        });
        (plain, fused, names)
    }

    fn agree(file: &str, shape: &[usize], expected: &[(&str, usize)]) {
        let (plain, fused, names) = both(file, shape);
        for (name, count) in expected {
            assert_eq!(names.iter().filter(|other| other == name).count(), *count, "{name} in {file}");
        }
        assert_eq!(plain.len(), fused.len());
        for (plain, fused) in plain.iter().zip(&fused) {
            assert!((plain - fused).abs() <= 1e-4 * plain.abs().max(1.0), "{file}: {fused} and not {plain}");
        }
    }

    #[test]
    fn the_networks_give_the_same_with_these_operators() {
        // Every remainder of a side by the pools' steps, so that windows end at and before the border.
        for (height, width) in [(12, 12), (13, 12), (35, 46), (36, 47), (97, 129)] {
            agree("pnet.onnx", &[1, 3, height, width], &[("Prelu", 2), ("PreluMaxPool", 1), ("MaxPool", 0)]);
        }
        agree("rnet.onnx", &[1, 3, 24, 24], &[("Prelu", 1), ("PreluMaxPool", 2), ("MaxPool", 0)]);
        agree("onet.onnx", &[1, 3, 48, 48], &[("Prelu", 1), ("PreluMaxPool", 3), ("MaxPool", 0)]);
        let attention =
            [("Relu", 10), ("ByPlane", 4), ("LargestPixel", 4), ("SumOfChannels", 4), ("MeanPool", 2)];
        agree("expression.onnx", &[1, 1, 48, 48], &attention);
    }
}
