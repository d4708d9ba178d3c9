//! The largest picture that is read, whoever shows it.

use lectern_record::help::Problem;

/// The longest side of a picture in pixels.
const LONGEST_SIDE: usize = 8192;

/// The most pixels of a picture, whoever shows it. Video of 7680 x 4320 fits, and a photograph of 33 megapixels; a header that
/// claims more does not get to ask for the memory.
pub const MOST_PIXELS: usize = 8192 * 4096;

/// Whether a picture is larger than any that is read.
pub(super) fn is_too_large(width: usize, height: usize) -> bool {
    width.max(height) > LONGEST_SIDE || width.saturating_mul(height) > MOST_PIXELS
}

/// The same as an error's words; an empty picture is refused too.
pub(super) fn check_size(width: usize, height: usize) -> Result<(), Problem> {
    if width == 0 || height == 0 {
        Err(format!("says that it is {width} x {height} pixels").into())
    } else if is_too_large(width, height) {
        let what = format!(
            "is {width} x {height} pixels, and at most {LONGEST_SIDE} x {} are read",
            MOST_PIXELS / LONGEST_SIDE
        );
        Err(Problem::new(what).with_help("scale it down first"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
