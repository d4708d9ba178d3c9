//! Time, read in one place: boot time to measure lengths, wall time to label them.
//!
//! Boot time (`CLOCK_BOOTTIME`) runs through suspend and is never stepped, so a window measured on it neither
//! loses nor doubles a second when the wall clock jumps. A Raspberry Pi has no clock battery: until the kernel
//! reports its clock as synchronised, labels carry `clock_synced: false`.
#![expect(clippy::disallowed_methods, reason = "this is the clock")]

mod kernel;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// Time since the machine booted, suspend included.
pub type BootTime = Duration;

/// The only way to read or wait for time.
pub trait Clock: Send + Sync {
    /// Time since boot; never goes back.
    fn boot(&self) -> BootTime;
    /// The wall clock, in UTC; may be stepped at any moment.
    fn wall(&self) -> Timestamp;
    /// Whether the kernel holds the wall clock to be synchronised.
    fn synced(&self) -> bool;
    /// Waits until `deadline` or until `stop` is set, whichever comes first.
    fn sleep_until(&self, deadline: BootTime, stop: &Stop);
}

/// A request to stop, which wakes all threads that wait on it.
#[derive(Clone, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Requests the stop; it cannot be reset.
    pub fn set(&self) {
        *self.lock() = true;
        self.0.1.notify_all();
    }

    /// Whether a stop was requested.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.lock()
    }

    fn wait(&self, longest: Duration) {
        let requested = self.lock();
        if !*requested {
            drop(self.0.1.wait_timeout(requested, longest));
        }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        // A bool cannot be left half written, so a poisoned lock is still good.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// CPU time of the calling thread so far, for measurements of cost.
#[must_use]
pub fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(spent.tv_sec).unwrap_or_default(),
        u32::try_from(spent.tv_nsec).unwrap_or_default(),
    )
}

/// The machine's own clocks.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn boot(&self) -> BootTime {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(
            u64::try_from(now.tv_sec).unwrap_or_default(),
            u32::try_from(now.tv_nsec).unwrap_or_default(),
        )
    }

    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    fn synced(&self) -> bool {
        kernel::clock_is_synchronised()
    }

    fn sleep_until(&self, deadline: BootTime, stop: &Stop) {
        // In a loop, because a wait is measured on monotonic time, which stands still while suspended.
        while !stop.is_set() {
            let left = deadline.saturating_sub(self.boot());
            if left.is_zero() {
                return;
            }
            stop.wait(left);
        }
    }
}

/// Whether systemd-timesyncd synchronised the clock: the only source within the service's sandbox.
#[must_use]
pub fn synced_by_timesyncd() -> bool {
    std::path::Path::new(kernel::TIMESYNCD).exists()
}

/// A clock that only moves when someone sleeps on it: a recording's time, and the tests'.
#[derive(Debug, Clone)]
pub struct SimulatedClock {
    state: Arc<Mutex<SimulatedState>>,
}

#[derive(Debug)]
struct SimulatedState {
    boot: BootTime,
    wall: Timestamp,
    synced: bool,
}

impl SimulatedClock {
    /// A clock whose boot time is zero and whose wall clock reads `wall`.
    #[must_use]
    pub fn starting_at(wall: Timestamp, synced: bool) -> Self {
        Self { state: Arc::new(Mutex::new(SimulatedState { boot: Duration::ZERO, wall, synced })) }
    }

    /// Steps the wall clock as an NTP daemon would; boot time is untouched.
    ///
    /// # Errors
    /// When the result is outside what a [`Timestamp`] can hold.
    pub fn step_wall(&self, by: jiff::SignedDuration) -> Result<(), jiff::Error> {
        let mut state = self.lock();
        state.wall = state.wall.checked_add(by)?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, SimulatedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for SimulatedClock {
    fn boot(&self) -> BootTime {
        self.lock().boot
    }

    fn wall(&self) -> Timestamp {
        self.lock().wall
    }

    fn synced(&self) -> bool {
        self.lock().synced
    }

    fn sleep_until(&self, deadline: BootTime, _stop: &Stop) {
        let mut state = self.lock();
        let step = deadline.saturating_sub(state.boot);
        state.boot += step;
        state.wall = state.wall.saturating_add(step).unwrap_or(Timestamp::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_wall_clock_keeps_boot_time() {
        let clock = SimulatedClock::starting_at(Timestamp::UNIX_EPOCH, true);
        clock.sleep_until(Duration::from_secs(5), &Stop::default());
        clock.step_wall(jiff::SignedDuration::from_hours(1)).unwrap();
        assert_eq!(clock.boot(), Duration::from_secs(5));
        assert_eq!(clock.wall().as_second(), 3605);
    }

    #[test]
    fn a_stop_wakes_a_sleeper() {
        let stop = Stop::default();
        let sleeper = std::thread::spawn({
            let stop = stop.clone();
            move || SystemClock.sleep_until(SystemClock.boot() + Duration::from_secs(3600), &stop)
        });
        stop.set();
        sleeper.join().unwrap();
    }
}
