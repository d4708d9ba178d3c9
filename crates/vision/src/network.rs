//! Neural networks in tract: plans for one concrete input shape.

use tract_onnx::prelude::*;

use super::dequantize;
use super::error::VisionError;
use super::ops;

/// A network, optimised for one input shape.
pub(super) struct Network {
    name: String,
    shape: Vec<usize>,
    state: TypedSimpleState,
}

impl Network {
    /// Optimises the ONNX graph in `bytes` for inputs of `shape` (NCHW); the shape in the file where none is
    /// given.
    ///
    /// # Errors
    /// [`VisionError::Model`] when the file is no ONNX graph, expects another shape, or tract cannot run it.
    pub(super) fn new(name: &str, bytes: &[u8], shape: Option<&[usize]>) -> Result<Self, VisionError> {
        let build = || -> TractResult<Self> {
            let mut model = dequantize::read(bytes)?;
            if let Some(shape) = shape {
                model = model.with_input_fact(0, f32::fact(shape).into())?;
            }
            let mut model = model.into_typed()?.into_decluttered()?;
            ops::replace(&mut model)?;
            let model = model.into_optimized()?;
            let shape = model
                .input_fact(0)?
                .shape
                .as_concrete()
                .ok_or_else(|| TractError::msg("has no fixed input shape; export it with one"))?
                .to_vec();
            Ok(Self { name: name.to_owned(), shape, state: model.into_runnable()?.spawn()? })
        };
        build().map_err(|e| VisionError::model(name, format!("{e:#}")))
    }

    /// The input's shape, NCHW.
    #[must_use]
    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Runs the network on one input of [`Network::shape`].
    ///
    /// # Errors
    /// [`VisionError::Model`] when the input has another length, the output is not f32, or tract fails.
    pub(super) fn run(&mut self, input: &[f32]) -> Result<Output, VisionError> {
        let mut run = || -> TractResult<Output> {
            let input = Tensor::from_shape(&self.shape, input)?;
            let mut outputs = self.state.run(tvec!(input.into_tvalue()))?;
            let output = Output(outputs.swap_remove(0));
            output.0.try_as_plain_ram()?.as_slice::<f32>()?;
            Ok(output)
        };
        run().map_err(|e| VisionError::model(&self.name, format!("{e:#}")))
    }
}

/// A network's first output, where tract has put it.
pub(super) struct Output(TValue);

impl Output {
    /// Its numbers, flat and row-major.
    #[must_use]
    pub(super) fn values(&self) -> &[f32] {
        // `Network::run` has checked that there is such a slice.
        self.0.try_as_plain_ram().and_then(|plain| plain.as_slice()).unwrap_or_default()
    }
}
