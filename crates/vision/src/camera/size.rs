//! The largest picture that is read, from any source.

use lectern_record::help::Problem;

/// The longest side of a picture in pixels.
const MAX_SIDE: usize = 8192;

/// The most pixels of a picture from any source. Video of 7680 x 4320 fits, and a photograph of 33 megapixels; a header that
/// claims more is refused before any memory is allocated for it.
pub const MAX_PIXELS: usize = 8192 * 4096;

/// Whether a picture is larger than any that is read.
pub(super) fn is_too_large(width: usize, height: usize) -> bool {
    width.max(height) > MAX_SIDE || width.saturating_mul(height) > MAX_PIXELS
}

/// The same as an error; refuses an empty picture too.
pub(super) fn check_size(width: usize, height: usize) -> Result<(), Problem> {
    if width == 0 || height == 0 {
        Err(format!("says that it is {width} x {height} pixels").into())
    } else if is_too_large(width, height) {
        let what = format!(
            "is {width} x {height} pixels, and at most {MAX_SIDE} x {} are read",
            MAX_PIXELS / MAX_SIDE
        );
        Err(Problem::new(what).with_help("scale it down first"))
    } else {
        Ok(())
    }
}

/// The size in square pixels of a picture whose pixels have this aspect ratio (width / height): stretched in one direction, so that
/// no sample is lost, or shrunk in the other where it would become too large.
pub(super) fn square(width: usize, height: usize, aspect: f64) -> (usize, usize) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "sides of pictures, and a cast saturates"
    )]
    let times = |side: usize, factor: f64| ((side as f64 * factor).round() as usize).max(1);
    if !(aspect.is_finite() && aspect > 0.0) {
        return (width, height);
    }
    let (wider, lower) = ((times(width, aspect), height), (width, times(height, 1.0 / aspect)));
    let (larger, smaller) = if aspect > 1.0 { (wider, lower) } else { (lower, wider) };
    if is_too_large(larger.0, larger.1) { smaller } else { larger }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_that_are_no_squares_become_squares() {
        for ((width, height), aspect, size) in [
            ((720, 576), 64.0 / 45.0, (1024, 576)),
            ((720, 480), 8.0 / 9.0, (720, 540)),
            ((8192, 4096), 2.0, (8192, 2048)),
            ((640, 480), 1.0, (640, 480)),
            ((640, 480), f64::NAN, (640, 480)),
            ((640, 480), 0.0, (640, 480)),
        ] {
            assert_eq!(square(width, height, aspect), size, "{width} x {height}, {aspect}");
        }
    }

    #[test]
    fn one_limit_holds_for_the_size_of_any_picture() {
        assert!(
            [(7680, 4320), (6000, 4000), (4096, 8192), (1, 1)]
                .iter()
                .all(|(w, h)| check_size(*w, *h).is_ok())
        );
        assert!([(20_000, 20_000), (8193, 1), (8192, 4097), (usize::MAX, usize::MAX)].iter().all(
            |(w, h)| { check_size(*w, *h).is_err_and(|e| e.to_string().contains("at most 8192 x 4096")) }
        ));
        assert!(check_size(0, 5).is_err());
    }
}
