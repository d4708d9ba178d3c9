//! Custom operators that replace those of tract which pass over the same numbers several times or one by one: these used
//! half of a search and a quarter of a classification, more than the convolutions.
//!
//! [`replace`] puts them into a decluttered graph. Each computes what the replaced ones did, in the same arithmetic; sums
//! over channels are computed in order, those of a channel's pixels in lanes. All data is f32, NCHW, batch 1. One file an
//! operator: the rule that finds its place in a graph, and its computation. `graph` has what the rules share.

mod broadcast_mul;
mod direct;
mod graph;
mod mean_pool;
mod pool;
mod prelu;
mod reduction;
mod relu;
mod zero_pad;

use tract_onnx::prelude::{TractResult, TypedModel};
use tract_onnx::tract_core::model::Rewriter;

/// Replaces all operators that a rule matches.
pub(super) fn replace(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::<()>::default()
        .with_rule_for("direct", |(), model, node, name, conv| direct::rule(model, node, name, conv))
        .with_rule_for("prelu", |(), model, node, name, add| prelu::rule(model, node, name, add))
        .with_rule_for("relu", |(), model, node, name, max| relu::rule(model, node, name, max))
        .with_rule_for("prelu-pool", |(), model, node, name, pool| {
            prelu::rule_before_pool(model, node, name, pool)
        })
        .with_rule_for("border", |(), model, node, name, conv| zero_pad::rule(model, node, name, conv))
        .with_rule_for("by-plane", |(), model, node, name, mul| broadcast_mul::rule(model, node, name, mul))
        .with_rule_for("mean-pool", |(), model, node, name, pool| mean_pool::rule(model, node, name, pool))
        .with_rule_for("reduce", |(), model, node, name, reduce| reduction::rule(model, node, name, reduce))
        .with_rule_for("reduce-rows", |(), model, node, name, pool| {
            reduction::rule_over_rows(model, node, name, pool)
        })
        .rewrite(&(), model)
}

#[cfg(test)]
mod tests {
    use super::replace;
    use tract_onnx::prelude::*;

    /// The network's output from tract alone and with our operators, and the names of the latter's operators
    /// once optimised, where `OptMaxPool` is a `MaxPool`.
    fn both(file: &str, shape: &[usize]) -> (Vec<f32>, Vec<f32>, Vec<String>) {
        let path = std::path::Path::new("../../models").join(file);
        let decluttered = || {
            let model = onnx().model_for_path(&path).unwrap();
            let model = model.with_input_fact(0, f32::fact(shape).into()).unwrap();
            model.into_typed().unwrap().into_decluttered().unwrap()
        };
        let mut replaced = decluttered();
        replace(&mut replaced).unwrap();
        let [plain, fused] = [decluttered(), replaced].map(|model| model.into_optimized().unwrap());
        let names = fused.nodes().iter().map(|node| node.op.name().replace("Opt", "")).collect();
        let mut random = 1u32;
        let input: Vec<f32> = (0..shape.iter().product())
            .map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from(random.to_le_bytes()[3])
            })
            .collect();
        let [plain, fused] = [plain, fused].map(|model| {
            let plan = model.into_runnable().unwrap();
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
        let attention = [
            ("Border", 14),
            ("Pad", 0),
            ("Relu", 10),
            ("ByPlane", 4),
            ("LargestPixel", 4),
            ("SumOfPixels", 5),
            ("LargestChannel", 4),
            ("MaxPool", 0),
            ("SumOfChannels", 4),
            ("MeanPool", 2),
        ];
        agree("expression.onnx", &[1, 1, 48, 48], &attention);
    }
}
