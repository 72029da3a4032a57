use std::error::Error;
use std::fs;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// What one process cost, from its start to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// User and system time of all its threads, without its children.
    pub(crate) cpu: Duration,
    /// From start to end.
    pub(crate) wall: Duration,
    /// The largest resident set it had, in bytes.
    pub(crate) memory_bytes_max: u64,
    /// How it ended.
    pub(crate) status: ExitStatus,
}

/// Runs a command to its end and measures it by what Linux counts in `/proc`.
///
/// The CPU time of a process that has ended stays readable until its parent waits for it, so nothing is missed; its memory
/// does not, so the peak is the one of at most [`INTERVAL`] before the end.
pub(crate) fn measure(command: &mut Command) -> Result<Measured, Box<dyn Error>> {
    let started = Instant::now();
    let mut child = command.spawn().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    let counted = follow(&child, started);
    if counted.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    let (cpu, wall, memory_bytes_max) = counted?;
    Ok(Measured { cpu, wall, memory_bytes_max, status })
}

fn follow(child: &Child, started: Instant) -> Result<(Duration, Duration, u64), Box<dyn Error>> {
    let folder = format!("/proc/{}", child.id());
    let mut memory_bytes_max = 0;
    loop {
        let status = fs::read_to_string(format!("{folder}/status"))?;
        memory_bytes_max = memory_peak(&status).unwrap_or(memory_bytes_max);
        let stat = fs::read_to_string(format!("{folder}/stat"))?;
        let (state, cpu) = state_and_cpu(&stat).ok_or_else(|| format!("{folder}/stat is odd: {stat}"))?;
        if state == "Z" {
            return Ok((cpu, started.elapsed(), memory_bytes_max));
        }
        thread::sleep(INTERVAL);
    }
}

/// `VmHWM` of `/proc/PID/status`; a process that has ended has none.
pub(crate) fn memory_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// User and system time of everything that this process has started, in turn too, and that was waited for.
pub(crate) fn children_cpu() -> Result<Duration, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = fields(&stat).ok_or("/proc/self/stat is odd")?;
    // proc_pid_stat(5): cutime is 16, cstime is 17.
    Ok(time(&fields, 13).ok_or("/proc/self/stat is odd")?)
}

/// State, and user plus system time, of `/proc/PID/stat`. The name before them, in parentheses, may hold anything.
pub(crate) fn state_and_cpu(stat: &str) -> Option<(&str, Duration)> {
    let fields = fields(stat)?;
    // proc_pid_stat(5) counts from 1 and the state is field 3: utime is 14, stime is 15.
    Some((fields.first()?, time(&fields, 11)?))
}

/// From the state on.
fn fields(stat: &str) -> Option<Vec<&str>> {
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_ascii_whitespace().collect())
}

/// User time at this place and system time at the next one.
fn time(fields: &[&str], index: usize) -> Option<Duration> {
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(TICK * u32::try_from(ticks(index)? + ticks(index + 1)?).ok()?)
}

const INTERVAL: Duration = Duration::from_millis(10);
/// `USER_HZ` is 100 on every architecture that Rust's Linux targets have.
pub(crate) const TICK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_no_obstacle() {
        let stat = "17 (a) b) R 1 2 3 4 5 6 7 8 9 10 120 34 5 6 7";
        assert_eq!(state_and_cpu(stat), Some(("R", Duration::from_millis(1540))));
        assert_eq!(state_and_cpu("17 (a) R 1"), None);
    }

    #[test]
    fn work_of_children_is_seen_once_they_were_waited_for() {
        let before = children_cpu().unwrap();
        let work = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        Command::new("sh").args(["-c", &format!("sh -c '{work}'; true")]).status().unwrap();
        assert!(children_cpu().unwrap() >= before + Duration::from_millis(50));
    }

    #[test]
    fn work_and_memory_of_a_child_are_seen_and_idling_is_not() {
        let work = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; exit 3";
        let measured = measure(Command::new("sh").args(["-c", work])).unwrap();
        assert_eq!(measured.status.code(), Some(3));
        assert!(measured.cpu >= Duration::from_millis(50), "{measured:?}");
        assert!(measured.cpu <= measured.wall + 2 * INTERVAL, "{measured:?}");
        assert!(measured.memory_bytes_max > 100_000, "{measured:?}");
        let idle = measure(Command::new("sleep").arg("0.3")).unwrap();
        assert!(idle.cpu <= Duration::from_millis(50) && idle.wall >= Duration::from_millis(300), "{idle:?}");
    }
}
