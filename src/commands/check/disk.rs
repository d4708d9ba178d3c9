//! Whether minutes can wait on the disk, and whether those that do can be read.

use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::io::Errno;

use super::finding::{Finding, Verdict, first};
use crate::cli::Part;
use crate::delivery::spool::{Inspection, inspect};

/// With less room than this, in bytes, the disk is as good as full.
const FULL: u64 = 1 << 20;

/// With less room than this it will be full soon: a week of minutes needs some 7 MB.
const NEARLY_FULL: u64 = 64 << 20;

/// The advice for a user without the permission to read.
const AS_ROOT: &str = "run lectern check as root";

/// Checks the folder in `spool.directory`.
pub(super) fn check(directory: Option<&Path>) -> Finding {
    let Some(directory) = directory else {
        return Finding::warning(Part::Disk, "no spool.directory: minutes wait for a broker in memory only")
            .advise("the service makes one at its first start");
    };
    let place = &directory.display().to_string();
    if std::fs::metadata(directory).is_ok_and(|found| !found.is_dir()) {
        return Finding::failed(Part::Disk, format_args!("{place} is not a folder"))
            .advise("name a folder in spool.directory");
    }
    let not_allowed =
        || Finding::warning(Part::Disk, format_args!("{place} may not be looked at")).advise(AS_ROOT);
    let room = match statvfs(directory) {
        Ok(disk) => {
            let read_only = disk.f_flag.contains(StatVfsMountFlags::RDONLY);
            judge_room(place, disk.f_bavail.saturating_mul(disk.f_frsize), read_only)
        }
        Err(Errno::NOENT) => {
            return Finding::warning(Part::Disk, format_args!("{place} is not there yet"))
                .advise("the service makes it at its first start");
        }
        Err(Errno::ACCESS) => return not_allowed(),
        Err(error) => return Finding::failed(Part::Disk, format_args!("{place}: {error}")),
    };
    match inspect(directory) {
        Ok(found) => judge_files(place, &found, room),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            if room.verdict == Verdict::Failed { room } else { not_allowed() }
        }
        Err(error) => Finding::failed(Part::Disk, format_args!("{place} cannot be read: {error}"))
            .advise("check the SD card"),
    }
}

/// Judges the files of the spool; `room` is the finding on the disk space.
fn judge_files(place: &str, found: &Inspection, room: Finding) -> Finding {
    let several = |names: &[String]| {
        let what = if names.len() == 1 { "1 file".to_owned() } else { format!("{} files", names.len()) };
        (what, first(names))
    };
    if let Some((_, error)) = found.unreadable.first() {
        let names: Vec<_> = found.unreadable.iter().map(|(name, _)| name.clone()).collect();
        let (what, names) = several(&names);
        let found_text = format!("{place}: {what} of minutes cannot be read ({names}: {error})");
        return Finding::failed(Part::Disk, found_text).advise(
            "save what the disk still gives, and replace it within a day, or these minutes are lost",
        );
    }
    if room.verdict != Verdict::Failed && !found.aside.is_empty() {
        let (what, names) = several(&found.aside);
        let found_text = format!(
            "{place}: {what} of minutes could not be read for a day ({names}), and these minutes count as dropped"
        );
        return Finding::warning(Part::Disk, found_text)
            .advise("replace the disk, then remove what begins with aside-");
    }
    room
}

fn judge_room(place: &str, free: u64, read_only: bool) -> Finding {
    let room = format!("{place}: {} MB free", free >> 20);
    if read_only {
        Finding::failed(Part::Disk, format_args!("{place} is read-only"))
            .advise("minutes cannot wait for a broker there: check the SD card")
    } else if free < FULL {
        Finding::failed(Part::Disk, format_args!("{room}: full")).advise("make room, or minutes are lost")
    } else if free < NEARLY_FULL {
        Finding::warning(Part::Disk, room).advise("make room soon")
    } else {
        Finding::ok(Part::Disk, room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_or_read_only_disk_is_a_failure() {
        assert_eq!(judge_room("/d", 0, false).verdict, Verdict::Failed);
        assert_eq!(judge_room("/d", 10 << 20, false).verdict, Verdict::Warning);
        assert_eq!(judge_room("/d", 1 << 30, false).verdict, Verdict::Ok);
        assert_eq!(judge_room("/d", 1 << 30, true).verdict, Verdict::Failed);
        assert_eq!(check(Some(Path::new("/no/such/folder"))).verdict, Verdict::Warning);
    }
}
