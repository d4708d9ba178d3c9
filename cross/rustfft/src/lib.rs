//! The part of rustfft's interface that tract uses, as the plain sum that defines the transform.
//!
//! tract registers its Fourier operators for every program, so rustfft's code for each size and instruction set (1.1 MB of
//! the packaged program) cannot be left out by the linker. None of Lectern's networks has such an operator. A network that
//! has one, given with `--classifier`, is still computed right, in the square of the length.

use std::sync::Arc;

pub use num_complex;
pub use num_traits;

use num_complex::Complex;
use num_traits::{Float, FromPrimitive, Zero};

/// Numbers that can be transformed.
pub trait FftNum: Float + FromPrimitive + Send + Sync + std::fmt::Debug + 'static {}

impl<T: Float + FromPrimitive + Send + Sync + std::fmt::Debug + 'static> FftNum for T {}

/// From time to frequency or back; neither divides by the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FftDirection {
    /// `exp(-2 pi i j k / n)`.
    Forward,
    /// `exp(2 pi i j k / n)`.
    Inverse,
}

/// Makes transforms.
#[derive(Debug, Default)]
pub struct FftPlanner<T>(std::marker::PhantomData<T>);

impl<T: FftNum> FftPlanner<T> {
    /// A planner.
    #[must_use]
    pub fn new() -> Self {
        Self(std::marker::PhantomData)
    }

    /// A transform of `len` numbers.
    #[must_use]
    pub fn plan_fft(&mut self, len: usize, direction: FftDirection) -> Arc<Transform<T>> {
        let sign = match direction {
            FftDirection::Forward => -1.0,
            FftDirection::Inverse => 1.0,
        };
        let circle = std::f64::consts::TAU / len as f64;
        let number = |value: f64| T::from(value).unwrap_or_else(T::nan);
        let root = |k: usize| {
            let (sin, cos) = (sign * circle * k as f64).sin_cos();
            Complex::new(number(cos), number(sin))
        };
        Arc::new(Transform((0..len).map(root).collect()))
    }

    /// A transform of `len` numbers from time to frequency.
    #[must_use]
    pub fn plan_fft_forward(&mut self, len: usize) -> Arc<Transform<T>> {
        self.plan_fft(len, FftDirection::Forward)
    }
}

/// One transform: the roots of unity of its length.
#[derive(Debug)]
pub struct Transform<T>(Vec<Complex<T>>);

impl<T: FftNum> Transform<T> {
    /// Transforms each run of as many numbers in place.
    ///
    /// # Panics
    /// When `buffer` is no whole number of runs, as the original.
    pub fn process(&self, buffer: &mut [Complex<T>]) {
        let len = self.0.len();
        if len == 0 {
            return;
        }
        assert_eq!(buffer.len() % len, 0, "a buffer of whole transforms");
        for run in buffer.chunks_exact_mut(len) {
            let term = |k: usize, j: usize| run[j] * self.0[j * k % len];
            let sum = |k| (0..len).fold(Complex::zero(), |sum, j| sum + term(k, j));
            let transformed: Vec<_> = (0..len).map(sum).collect();
            run.copy_from_slice(&transformed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_is_one_line_and_comes_back() {
        let wave: Vec<Complex<f32>> =
            (0..8).map(|j| Complex::new((std::f32::consts::TAU * j as f32 / 8.0).cos(), 0.0)).collect();
        let mut line = wave.clone();
        FftPlanner::new().plan_fft_forward(8).process(&mut line);
        for (k, value) in line.iter().enumerate() {
            let expected = if k == 1 || k == 7 { 4.0 } else { 0.0 };
            assert!((value - Complex::new(expected, 0.0)).l1_norm() < 1e-5, "{line:?}");
        }
        FftPlanner::new().plan_fft(8, FftDirection::Inverse).process(&mut line);
        for (back, value) in line.iter().zip(&wave) {
            assert!((back / 8.0 - value).l1_norm() < 1e-5);
        }
    }
}
