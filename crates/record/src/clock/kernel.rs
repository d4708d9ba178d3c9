//! The kernel's state of clock synchronisation: the library's only call that needs `unsafe`.
#![allow(unsafe_code)] // `adjtimex` has no safe wrapper in rustix; see the SAFETY note below.

/// systemd-timesyncd creates this file once it has set the clock; it lasts until the machine stops.
pub(super) const TIMESYNCD: &str = "/run/systemd/timesync/synchronized";

/// Whether the kernel's clock discipline is synchronised (`adjtimex(2)`: no `STA_UNSYNC`), or, where a sandbox
/// forbids the call, whether systemd-timesyncd has synchronised it.
///
/// NTP clients that discipline the kernel's clock clear that flag through the same call, so the answer does not depend
/// on which of them is installed. (chrony does so with `rtcsync`, which Debian's configuration sets.)
pub(super) fn clock_is_synchronised() -> bool {
    // SAFETY: `timex` is plain integers, for which all zeroes is a valid value; `modes == 0` makes the call
    // read-only, and the kernel writes only inside the structure that the pointer names.
    let (state, status) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        let state = libc::adjtimex(&raw mut timex);
        (state, timex.status)
    };
    if state < 0 {
        return std::path::Path::new(TIMESYNCD).exists();
    }
    status & libc::STA_UNSYNC == 0
}
