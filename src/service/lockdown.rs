//! Keeps pictures in memory from reaching a core dump or a debugger. That they are not swapped out is for the
//! service manager to see to (`MemorySwapMax=0`).

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
