//! Whether minutes can wait on the disk, and whether those that do can be read.

use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::io::Errno;

use super::finding::{Finding, Verdict, first};
use crate::cli::Part;
use crate::delivery::spool::storage::is_lost_with_power;
use crate::delivery::spool::{Inspection, Owner, inspect};

/// With less room than this, in bytes, the disk is as good as full.
const FULL: u64 = 1 << 20;

/// With less room than this it will be full soon: a week of minutes needs some 7 MB.
const NEARLY_FULL: u64 = 64 << 20;

/// The advice for a user without the permission to read.
const AS_ROOT: &str = "run lectern check as root";

/// Checks the folder in `spool.directory`, and whose records wait there.
pub(super) fn check(directory: Option<&Path>, owner: &Owner) -> Finding {
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
            let room = judge_room(place, disk.f_bavail.saturating_mul(disk.f_frsize), read_only);
            if room.verdict != Verdict::Failed && is_lost_with_power(directory).unwrap_or(false) {
                Finding::warning(Part::Disk, format_args!("{place} is in memory (tmpfs, or an overlay over it)"))
                    .advise("a power failure loses the minutes that wait there: name a folder on a disk in spool.directory")
            } else {
                room
            }
        }
        Err(Errno::NOENT) => {
            return Finding::warning(Part::Disk, format_args!("{place} is not there yet"))
                .advise("the service makes it at its first start");
        }
        Err(Errno::ACCESS) => return not_allowed(),
        Err(error) => return Finding::failed(Part::Disk, format_args!("{place}: {error}")),
    };
    match inspect(directory, owner) {
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
    let text = |files: &[(String, String)], what: &str| {
        let names: Vec<_> = files.iter().map(|(name, _)| name.clone()).collect();
        let count = if names.len() == 1 { "1 file".to_owned() } else { format!("{} files", names.len()) };
        let why = files.first().map_or("", |(_, why)| why);
        format!("{place}: {count} of minutes {what} ({}: {why})", first(&names))
    };
    if !found.unreadable.is_empty() {
        Finding::failed(Part::Disk, text(&found.unreadable, "cannot be read"))
            .advise("save what the disk still gives, and replace it before spool.keep_days are over")
    } else if room.verdict == Verdict::Failed {
        room
    } else if !found.damaged.is_empty() {
        Finding::warning(Part::Disk, text(&found.damaged, "count as dropped"))
            .advise("look whether the SD card dies, then remove what is named")
    } else if !found.foreign.is_empty() {
        Finding::warning(Part::Disk, text(&found.foreign, "are not published"))
            .advise("remove what is named, or put the old device.id or mqtt.root back")
    } else {
        room
    }
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
        let owner = Owner { root: "lectern/v1".to_owned(), device: "d".to_owned() };
        assert_eq!(check(Some(Path::new("/no/such/folder")), &owner).verdict, Verdict::Warning);
    }
}
