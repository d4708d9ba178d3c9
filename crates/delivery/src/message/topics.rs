//! MQTT topics: `<root>/<site>/<building>/<room>/<device>/{minute,status}`, and the client id, which says the same place.

/// The longest topic level in bytes.
pub const MAX_LEVEL_BYTES: usize = 64;

/// The longest `mqtt.root` in bytes.
pub const MAX_ROOT_BYTES: usize = 128;

/// The longest `<root>/<site>/<building>/<room>/<device>` in bytes.
pub(crate) const MAX_BASE_BYTES: usize = MAX_ROOT_BYTES + 4 * (1 + MAX_LEVEL_BYTES);

/// The longest topic in bytes.
pub(crate) const MAX_TOPIC_BYTES: usize = MAX_BASE_BYTES + "/minute".len();

/// The longest client id in bytes: the base, and what `lectern check` puts after it.
pub(crate) const MAX_CLIENT_ID_BYTES: usize = MAX_BASE_BYTES + CHECK_SUFFIX.len();

/// Makes of a device's client id the one of `lectern check`, so that a running daemon is not thrown out. No device has
/// such an id, for no level is empty.
pub(crate) const CHECK_SUFFIX: &str = "::check";

/// A topic level that cannot be used, and why.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{level}` cannot be a topic level: it must have 1 to {MAX_LEVEL_BYTES} letters, digits, `-`, `_` or `.`"
)]
pub struct BadLevel {
    level: String,
}

/// Whether a character may be in a level of a topic.
#[must_use]
pub fn may_be_in_level(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Checks one level of a topic: 1 to 64 ASCII letters, digits, `-`, `_` or `.`, so that it can stand in a
/// topic filter, a Telegraf tag and a file name alike.
///
/// # Errors
/// [`BadLevel`] otherwise.
pub fn check_level(level: &str) -> Result<(), BadLevel> {
    if level.is_empty() || level.len() > MAX_LEVEL_BYTES || !level.chars().all(may_be_in_level) {
        return Err(BadLevel { level: level.to_owned() });
    }
    Ok(())
}

/// A root that cannot be used, and why.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadRoot {
    /// One of its levels cannot be used.
    #[error("= {0}")]
    Level(#[from] BadLevel),
    /// It is too long.
    #[error("must have at most {MAX_ROOT_BYTES} bytes, not {0}")]
    TooLong(usize),
}

/// Checks `mqtt.root`: levels with `/` between them, [`MAX_ROOT_BYTES`] at most.
///
/// # Errors
/// [`BadRoot`] otherwise.
pub fn check_root(root: &str) -> Result<(), BadRoot> {
    root.split('/').try_for_each(check_level)?;
    if root.len() > MAX_ROOT_BYTES { Err(BadRoot::TooLong(root.len())) } else { Ok(()) }
}

/// The topics a device publishes on: two of the daemon, one of `lectern check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// `<root>/<site>/<building>/<room>/<device>`.
    base: String,
    /// Records: QoS 1, not retained.
    pub minute: String,
    /// The device's state: QoS 1, retained; the will sets `offline`.
    pub status: String,
    /// What `lectern check` sends to see whether it can: not retained.
    pub check: String,
}

impl Topics {
    /// Builds the topics; the levels must have passed [`check_level`], `root` [`check_root`].
    #[must_use]
    pub fn new(root: &str, site: &str, building: &str, room: &str, device: &str) -> Self {
        let base = format!("{root}/{site}/{building}/{room}/{device}");
        Self {
            minute: format!("{base}/minute"),
            status: format!("{base}/status"),
            check: format!("{base}/check"),
            base,
        }
    }

    /// What all of them begin with: the place of the device, unique on a broker.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The MQTT client id: the place of the device with `:`, which is in no level, for `/`, which some brokers do not
    /// allow there. So two devices have the same only if they have the same topics; a broker throws out one of two
    /// clients with the same id.
    #[must_use]
    pub fn client_id(&self) -> String {
        self.base.replace('/', ":")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn topics_have_fixed_levels() {
        let topics = Topics::new("lectern/v1", "north", "main", "101", "cam1");
        assert_eq!(topics.minute, "lectern/v1/north/main/101/cam1/minute");
        assert_eq!(topics.status, "lectern/v1/north/main/101/cam1/status");
        assert_eq!(topics.client_id(), "lectern:v1:north:main:101:cam1");
    }

    #[test]
    fn wildcards_and_separators_are_refused() {
        for bad in ["", "a/b", "+", "#", "a b", "é", "a:b", &"x".repeat(65)] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
        assert!(check_level("r101-cam1").is_ok());
    }

    #[test]
    fn a_root_has_levels_and_a_limit() {
        for bad in ["", "/a", "a/", "a//b", "a/+", &format!("{}/{}", "x".repeat(64), "y".repeat(64))] {
            assert!(check_root(bad).is_err(), "{bad}");
        }
        let longest = format!("{}/{}", "x".repeat(64), "y".repeat(63));
        assert!(longest.len() == MAX_ROOT_BYTES && check_root(&longest).is_ok());
    }

    proptest! {
        #[test]
        fn devices_with_different_topics_have_different_client_ids(
            a in prop::collection::vec("[ab_.-]{1,2}", 5..7), b in prop::collection::vec("[ab_.-]{1,2}", 5..7),
        ) {
            let topics = |levels: &[String]| {
                let (root, place) = levels.split_at(levels.len() - 4);
                Topics::new(&root.join("/"), &place[0], &place[1], &place[2], &place[3])
            };
            let (a, b) = (topics(&a), topics(&b));
            prop_assert_eq!(a.client_id() == b.client_id(), a == b);
            prop_assert_ne!(a.client_id() + CHECK_SUFFIX, b.client_id());
        }
    }
}
