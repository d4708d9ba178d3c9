//! Keeps pictures in memory from reaching a disk or a debugger.

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
