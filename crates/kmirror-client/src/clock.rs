//! What time it is. Every clock of this program is read here and nowhere else, so that a [simulated](crate::simulated) world can
//! stop them all.

use std::time::{Duration, Instant, SystemTime};

use crate::simulated;

/// The monotonic clock, which timers run by. Where a test pauses tokio's time it stands still.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The time of day. Somebody may set it, forwards and backwards.
#[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
pub fn wall() -> SystemTime {
    simulated::age().map_or_else(SystemTime::now, |age| SystemTime::UNIX_EPOCH + SIMULATED_START + age)
}

/// Since the machine was started, with all the time that it has slept since, in which the monotonic clock of some systems stands
/// still. Only differences mean something.
pub fn boot() -> Duration {
    simulated::age().map_or_else(since_boot, |age| SIMULATED_START + age)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn since_boot() -> Duration {
    read(rustix::time::ClockId::Boottime)
}

/// `clock_gettime(3)` of macOS: this one goes on while the system is asleep.
#[cfg(target_vendor = "apple")]
fn since_boot() -> Duration {
    read(rustix::time::ClockId::Monotonic)
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn read(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    // Neither is negative, and a second has fewer nanoseconds than fit.
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Elsewhere the standard library's clock is the best that there is: that of Windows goes on while it sleeps.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn since_boot() -> Duration {
    static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    now().duration_since(*FIRST.get_or_init(now))
}

/// When the time of simulated worlds begins: in January 2027, in the middle of a millisecond of no meaning.
const SIMULATED_START: Duration = Duration::from_millis(1_800_000_000_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_of_the_machine_go_on() {
        let (now_before, boot_before, wall_before) = (now(), boot(), wall());
        std::thread::sleep(Duration::from_millis(2));
        assert!(now() - now_before >= Duration::from_millis(2));
        assert!(boot() - boot_before >= Duration::from_millis(2));
        assert!(wall() > wall_before);
        assert!(boot() > Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulated_world_has_one_time() {
        let _world = simulated::enter(1);
        let before = (now(), wall(), boot());
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!((now(), wall(), boot()), before, "it stands still");
        let passed = Duration::from_secs(3_600);
        tokio::time::sleep(passed).await;
        assert_eq!((now(), wall(), boot()), (before.0 + passed, before.1 + passed, before.2 + passed));
    }
}
