//! Whether a camera's pictures can be decoded, judged by the newest ones.

use std::collections::VecDeque;
use std::time::Duration;

/// Pictures of so long are judged together.
const SPAN: Duration = Duration::from_secs(10);

/// At a low rate at least so many pictures are judged together.
const MIN_PICTURES: usize = 5;

/// The newest pictures.
#[derive(Debug, Default)]
pub struct Readability {
    /// Tick and whether it could be decoded, the oldest first.
    pictures: VecDeque<(Duration, bool)>,
    corrupt: usize,
    /// The first tick since the camera was opened.
    since: Option<Duration>,
    is_unreadable: bool,
}

impl Readability {
    /// Adds the picture of a tick; whether the camera is unreadable: from most of the pictures of 10 s on until three quarters of
    /// them can be decoded again.
    pub fn add(&mut self, tick: Duration, is_decoded: bool) -> bool {
        let since = *self.since.get_or_insert(tick);
        self.pictures.push_back((tick, is_decoded));
        self.corrupt += usize::from(!is_decoded);
        while self.pictures.len() > MIN_PICTURES
            && let Some((oldest, was_decoded)) = self.pictures.front()
            && *oldest + SPAN <= tick
        {
            self.corrupt -= usize::from(!was_decoded);
            self.pictures.pop_front();
        }
        let count = self.pictures.len();
        if count >= MIN_PICTURES && tick >= since + SPAN && self.corrupt * 2 > count {
            self.is_unreadable = true;
        } else if self.corrupt * 4 <= count {
            self.is_unreadable = false;
        }
        self.is_unreadable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ticks, in seconds at two a second, at which the verdict changes.
    fn changes(decoded: impl IntoIterator<Item = bool>) -> Vec<(f64, bool)> {
        let (mut readability, mut was, mut changes) = (Readability::default(), false, Vec::new());
        for (tick, is_decoded) in (0..).zip(decoded) {
            let tick = Duration::from_millis(500 * tick);
            let is = readability.add(tick, is_decoded);
            if is != was {
                changes.push((tick.as_secs_f64(), is));
            }
            was = is;
        }
        changes
    }

    #[test]
    fn most_pictures_of_ten_seconds_decide() {
        assert_eq!(changes([false; 60]), [(10.0, true)]);
        assert_eq!(changes([true; 60]), []);
        assert_eq!(changes((0..200).map(|i| i % 2 == 0)), []);
        assert_eq!(changes((0..200).map(|i| i % 3 == 0)), [(10.0, true)]);
        // A burst of damage.
        assert_eq!(changes((0..200).map(|i| !(100..110).contains(&i))), []);
        let recovers = changes((0..200).map(|i| !(100..140).contains(&i)));
        assert_eq!(recovers, [(55.0, true), (77.0, false)]);
    }

    #[test]
    fn a_low_rate_is_judged_too() {
        let mut readability = Readability::default();
        let verdicts: Vec<_> = (0..8).map(|i| readability.add(Duration::from_secs(10 * i), false)).collect();
        assert_eq!(verdicts, [false, false, false, false, true, true, true, true]);
    }
}
