//! How long the spool waits for files that cannot be read.

use std::time::Duration;

/// How patient the spool is with a file that cannot be read.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Nothing that is younger is delivered for so long.
    pub hold_order: Duration,
    /// After that it is tried this often.
    pub try_late: Duration,
    /// After this its records count as dropped.
    pub give_up: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            hold_order: Duration::from_secs(60),
            try_late: Duration::from_secs(300),
            give_up: Duration::from_secs(86_400),
        }
    }
}
