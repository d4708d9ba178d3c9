//! Keeps pictures in memory from reaching a core dump, a debugger or swap.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Allows no core dumps, and no other process of this user to attach or to read this one's memory.
///
/// # Errors
/// When the kernel refuses.
pub fn lock_down() -> std::io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Keeps every page that is touched from now on out of swap, as far as `RLIMIT_MEMLOCK` allows.
///
/// The unit's `MemorySwapMax=0` does the same where the kernel has the memory controller; on a Raspberry Pi it is
/// off by default, and the unit's `LimitMEMLOCK` makes this work.
pub fn lock_memory() {
    // Only pages in use, or the whole of each thread's stack would be made resident.
    if let Err(error) = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT) {
        log::debug!("memory may be swapped out, for this process may not lock it: {error}");
    }
}
