//! MQTT topics: `<root>/<site>/<building>/<room>/<device>/{minute,status}`, and the client id, derived from the same path.

/// The longest topic level in bytes.
pub const MAX_LEVEL_BYTES: usize = 64;

/// The longest `mqtt.root` in bytes.
pub const MAX_ROOT_BYTES: usize = 128;

/// The longest `<root>/<site>/<building>/<room>/<device>` in bytes.
pub(crate) const MAX_BASE_BYTES: usize = MAX_ROOT_BYTES + 4 * (1 + MAX_LEVEL_BYTES);

/// The longest topic in bytes.
pub(crate) const MAX_TOPIC_BYTES: usize = MAX_BASE_BYTES + "/minute".len();

/// The longest client id in bytes: the base and the suffix of `lectern check`.
pub(crate) const MAX_CLIENT_ID_BYTES: usize = MAX_BASE_BYTES + CHECK_SUFFIX.len();

/// The suffix of the client id of `lectern check`, so that a running daemon stays connected. No device has such an id,
/// because no level is empty.
pub(crate) const CHECK_SUFFIX: &str = "::check";

/// The level of a place that is not configured.
pub const UNASSIGNED: &str = "unassigned";

/// An invalid topic level.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{level}` cannot be a topic level: it must have 1 to {MAX_LEVEL_BYTES} letters, digits, `-`, `_` or `.`"
)]
pub struct BadLevel {
    level: String,
}

/// Whether a character is allowed in a topic level.
#[must_use]
pub fn may_be_in_level(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Checks one level of a topic: 1 to 64 ASCII letters, digits, `-`, `_` or `.`, so that it is valid in a
/// topic filter, a Telegraf tag and a file name.
///
/// # Errors
/// [`BadLevel`] otherwise.
pub fn check_level(level: &str) -> Result<(), BadLevel> {
    if level.is_empty() || level.len() > MAX_LEVEL_BYTES || !level.chars().all(may_be_in_level) {
        return Err(BadLevel { level: level.to_owned() });
    }
    Ok(())
}

/// An invalid root.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadRoot {
    /// One of its levels is invalid.
    #[error("= {0}")]
    Level(#[from] BadLevel),
    /// It is too long.
    #[error("must have at most {MAX_ROOT_BYTES} bytes, not {0}")]
    TooLong(usize),
}

/// Checks `mqtt.root`: levels separated by `/`, [`MAX_ROOT_BYTES`] at most.
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
    /// The test messages of `lectern check`: not retained.
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

    /// The common prefix of the topics, unique on a broker.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Room, building and site.
    pub(crate) fn places(&self) -> impl Iterator<Item = &str> {
        self.base.rsplit('/').skip(1).take(3)
    }

    /// The MQTT client id: the topic prefix with `:`, which no level contains, for `/`, which some brokers do not allow
    /// in an id. Two devices have the same id only if they have the same topics; of two clients with the same id a broker
    /// disconnects one.
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
    fn builds_topics_and_client_id() {
        let topics = Topics::new("lectern/v1", "north", "main", "101", "cam1");
        assert_eq!(topics.minute, "lectern/v1/north/main/101/cam1/minute");
        assert_eq!(topics.status, "lectern/v1/north/main/101/cam1/status");
        assert_eq!(topics.client_id(), "lectern:v1:north:main:101:cam1");
    }

    #[test]
    fn rejects_wildcards_and_separators() {
        for bad in ["", "a/b", "+", "#", "a b", "é", "a:b", &"x".repeat(65)] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
        assert!(check_level("r101-cam1").is_ok());
    }

    #[test]
    fn checks_levels_and_length_of_the_root() {
        for bad in ["", "/a", "a/", "a//b", "a/+", &format!("{}/{}", "x".repeat(64), "y".repeat(64))] {
            assert!(check_root(bad).is_err(), "{bad}");
        }
        let longest = format!("{}/{}", "x".repeat(64), "y".repeat(63));
        assert!(longest.len() == MAX_ROOT_BYTES && check_root(&longest).is_ok());
    }

    proptest! {
        #[test]
        fn different_topics_give_different_client_ids(
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
