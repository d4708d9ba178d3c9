//! MQTT topics: `<root>/<site>/<building>/<room>/<device>/{minute,status}`.

/// A topic level that cannot be used, and why.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{level}` cannot be a topic level: it must have 1 to 64 letters, digits, `-`, `_` or `.`")]
pub struct BadLevel {
    level: String,
}

/// Checks one level of a topic: 1 to 64 ASCII letters, digits, `-`, `_` or `.`, so that it can stand in a
/// topic filter, a Telegraf tag and a file name alike.
///
/// # Errors
/// [`BadLevel`] otherwise.
pub fn check_level(level: &str) -> Result<(), BadLevel> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if level.is_empty() || level.len() > 64 || !level.chars().all(good) {
        return Err(BadLevel { level: level.to_owned() });
    }
    Ok(())
}

/// The topics a device publishes on: two of the daemon, one of `lectern check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// Records: QoS 1, not retained.
    pub minute: String,
    /// The device's state: QoS 1, retained; the will sets `offline`.
    pub status: String,
    /// What `lectern check` sends to see whether it can: not retained.
    pub check: String,
}

impl Topics {
    /// Builds the topics; the levels must have passed [`check_level`], `root` level by level.
    #[must_use]
    pub fn new(root: &str, site: &str, building: &str, room: &str, device: &str) -> Self {
        let base = format!("{root}/{site}/{building}/{room}/{device}");
        Self {
            minute: format!("{base}/minute"),
            status: format!("{base}/status"),
            check: format!("{base}/check"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_have_fixed_levels() {
        let topics = Topics::new("lectern/v1", "north", "main", "101", "cam1");
        assert_eq!(topics.minute, "lectern/v1/north/main/101/cam1/minute");
        assert_eq!(topics.status, "lectern/v1/north/main/101/cam1/status");
    }

    #[test]
    fn wildcards_and_separators_are_refused() {
        for bad in ["", "a/b", "+", "#", "a b", "é", &"x".repeat(65)] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
        assert!(check_level("r101-cam1").is_ok());
    }
}
