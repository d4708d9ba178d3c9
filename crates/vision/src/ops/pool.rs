//! The pooling that our operators support.

use tract_onnx::tract_core::ops::cnn::PoolSpec;
use tract_onnx::tract_core::ops::nn::DataFormat;

/// Pooling by steps of 2 from the first pixel; windows end at the border.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub(super) struct Pool {
    /// Side of a window, 2 or 3.
    pub(super) kernel: usize,
    /// Height of the output.
    pub(super) height: usize,
    /// Width of the output.
    pub(super) width: usize,
}

impl Pool {
    /// Of a picture of this shape, if it is such a pooling.
    pub(super) fn new(spec: &PoolSpec, [_, _, height, width]: [usize; 4]) -> Option<Self> {
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
