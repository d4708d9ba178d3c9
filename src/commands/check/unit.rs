//! Whether the systemd service runs, and would after a restart of the machine.

use std::process::Command;

use super::finding::Finding;
use crate::cli::Part;

/// One property of the service, from systemd.
#[expect(clippy::disallowed_methods, reason = "systemctl, for the technician who checks")]
fn property(name: &str) -> Option<String> {
    let output =
        Command::new("systemctl").args(["show", "--value", "-p", name, "lectern.service"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether the service runs now.
pub(super) fn is_active() -> bool {
    sd_notify::booted().unwrap_or_default() && property("ActiveState").is_some_and(|state| state == "active")
}

/// Looks at the service's state.
pub(super) fn check() -> Finding {
    if !sd_notify::booted().unwrap_or_default() {
        return Finding::skipped(Part::Unit, "systemd does not run here");
    }
    let of = |name| property(name).unwrap_or_default();
    judge(&of("LoadState"), &of("ActiveState"), &of("UnitFileState"), &of("StatusText"))
}

fn judge(loaded: &str, active: &str, enabled: &str, status: &str) -> Finding {
    let warning = |found: &str, advice: &str| Finding::warning(Part::Unit, found).advise(advice);
    match (loaded, active) {
        ("loaded", "active" | "reloading") if enabled == "enabled" => Finding::ok(Part::Unit, status),
        ("loaded", "active" | "reloading") => {
            warning("runs, but would not after a restart of the machine", "systemctl enable lectern")
        }
        ("loaded", "failed") => Finding::failed(Part::Unit, "lectern.service has failed")
            .advise("see journalctl -u lectern, then systemctl restart lectern"),
        ("loaded", _) => warning("lectern.service does not run", "systemctl enable --now lectern"),
        _ => warning("lectern.service is not installed", "install the package"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_failed_unit_is_a_failure_a_stopped_one_a_warning() {
        let status = "watching, 2.0 frames/s, broker connected";
        assert_eq!(judge("loaded", "active", "enabled", status), Finding::ok(Part::Unit, status));
        assert_eq!(judge("loaded", "active", "disabled", status).verdict, Verdict::Warning);
        assert_eq!(judge("loaded", "failed", "enabled", "").verdict, Verdict::Failed);
        assert_eq!(judge("loaded", "inactive", "disabled", "").verdict, Verdict::Warning);
        assert_eq!(judge("not-found", "inactive", "", "").verdict, Verdict::Warning);
    }
}
