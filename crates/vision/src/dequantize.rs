//! Converts int8 weights to f32 once, when a file is read.
//!
//! tract's generic operators would do it more slowly than all other steps of a start together.

use tract_onnx::data_resolver;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};
use tract_onnx::prelude::*;
use tract_onnx::tensor::load_tensor;

/// Reads an ONNX file.
///
/// # Errors
/// tract's error for bytes that are no ONNX file, or that it cannot run.
pub(super) fn read(bytes: &[u8]) -> TractResult<InferenceModel> {
    let mut file = onnx().proto_model_for_read(&mut &*bytes)?;
    dequantise(&mut file)?;
    onnx().model_for_proto_model(&file)
}

/// Replaces the `DequantizeLinear` nodes whose inputs are all in the file by f32 tensors.
fn dequantise(model: &mut ModelProto) -> TractResult<()> {
    let Some(graph) = &mut model.graph else { return Ok(()) };
    for node in std::mem::take(&mut graph.node) {
        match weight(graph, &node)? {
            Some(weight) => graph.initializer.push(weight),
            None => graph.node.push(node),
        }
    }
    Ok(())
}

/// `(x - zero) * scale`, with a zero and a scale for each index of an axis; other forms are left to tract.
fn weight(graph: &GraphProto, node: &NodeProto) -> TractResult<Option<TensorProto>> {
    if node.op_type != "DequantizeLinear" {
        return Ok(None);
    }
    let stored = |name: &String| graph.initializer.iter().find(|tensor| tensor.name == *name);
    let inputs: Vec<_> = node.input.iter().map(stored).collect();
    let (&[Some(x), Some(scale), Some(zero)], [name]) = (&inputs[..], &node.output[..]) else {
        return Ok(None);
    };
    let axis = node.get_attr_opt::<i64>("axis")?.unwrap_or(1);
    let after = usize::try_from(axis).ok().and_then(|axis| x.dims.get(axis..)?.split_first());
    let Some((&channels, rest)) = after else { return Ok(None) };
    let each: usize = rest.iter().product::<i64>().try_into()?;
    if each == 0 || scale.dims != [channels] || zero.dims != [channels] {
        return Ok(None);
    }
    let [values, scales, zeros] = [numbers(x)?, numbers(scale)?, numbers(zero)?];
    let channels = zeros.iter().zip(&scales).cycle();
    let float_data = values
        .chunks_exact(each)
        .zip(channels)
        .flat_map(|(part, (zero, scale))| part.iter().map(move |value| (value - zero) * scale))
        .collect();
    Ok(Some(TensorProto {
        name: name.clone(),
        dims: x.dims.clone(),
        data_type: DataType::Float.into(),
        float_data,
        ..TensorProto::default()
    }))
}

/// The numbers of a tensor, flat and row-major.
fn numbers(tensor: &TensorProto) -> TractResult<Vec<f32>> {
    let tensor = load_tensor(&*data_resolver::default(), tensor, None)?;
    Ok(tensor.cast_to::<f32>()?.try_as_plain_ram()?.as_slice()?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::dequantise;
    use tract_onnx::pb::ModelProto;
    use tract_onnx::prelude::*;

    #[test]
    fn weights_are_what_tract_makes_of_them() {
        for (name, nodes, shape) in [("onet", 6, [1, 3, 48, 48]), ("expression", 21, [1, 1, 48, 48])] {
            let proto = onnx().proto_model_for_path(format!("../../models/{name}.onnx")).unwrap();
            let mut ours = proto.clone();
            dequantise(&mut ours).unwrap();
            let count = |model: &ModelProto| model.graph.as_ref().unwrap().node.len();
            assert_eq!(count(&proto) - count(&ours), nodes, "{name}");
            let input = Tensor::from_shape(&shape, &vec![77f32; shape.iter().product()]).unwrap();
            let [theirs, ours] = [proto, ours].map(|model| {
                let model = onnx().model_for_proto_model(&model).unwrap();
                let model = model.with_input_fact(0, f32::fact(shape).into()).unwrap();
                let plan = model.into_optimized().unwrap().into_runnable().unwrap();
                plan.run(tvec!(input.clone().into_tvalue())).unwrap().remove(0).into_tensor()
            });
            assert_eq!(theirs, ours, "{name}");
        }
    }
}
