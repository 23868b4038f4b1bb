//! What the kernel says about this process, read from /proc at each scrape and never cached.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The kernel reports times to user space in this unit on every architecture that Linux supports today
/// (`getconf CLK_TCK`), whatever its own timer does.
const TICKS_PER_SECOND: f64 = 100.0;

/// What is known about a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProcessFacts {
    /// Memory in RAM.
    pub resident_memory_bytes: u64,
    /// Time spent on CPUs, in user and system mode.
    pub cpu_seconds: f64,
    /// Start, in seconds since 1970.
    pub start_time_seconds: f64,
    /// Open file descriptors.
    pub open_fds: u64,
}

impl ProcessFacts {
    /// Facts about this process. `None` where /proc is not that of Linux.
    pub fn read() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let machine = fs::read_to_string("/proc/stat").ok()?;
        let open_fds = fs::read_dir("/proc/self/fd").ok()?.count();
        Self::parse(&status, &stat, &machine, u64::try_from(open_fds).ok()?)
    }

    /// Reads `/proc/PID/status`, `/proc/PID/stat` and `/proc/stat`.
    fn parse(status: &str, stat: &str, machine: &str, open_fds: u64) -> Option<Self> {
        let resident_kib: u64 = value_of(status, "VmRSS:")?.parse().ok()?;
        // The command's name stands in parentheses and may itself hold spaces and parentheses. What follows the
        // last one is field 3 and on (proc(5)): utime is 14, stime 15, starttime 22.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let boot_seconds: f64 = value_of(machine, "btime")?.parse().ok()?;
        Some(Self {
            resident_memory_bytes: resident_kib * 1024,
            cpu_seconds: (ticks(14)? + ticks(15)?) / TICKS_PER_SECOND,
            start_time_seconds: boot_seconds + ticks(22)? / TICKS_PER_SECOND,
            open_fds,
        })
    }
}

/// The first word after `name` at the start of a line.
fn value_of<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()
}

/// Reports [`ProcessFacts`] under the names that Prometheus clients agree on.
#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // Without facts there are no samples: a zero would be a lie.
        let Some(facts) = ProcessFacts::read() else { return Ok(()) };
        let mut write = |name: &str, help: &str, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        let resident = ConstGauge::new(facts.resident_memory_bytes);
        write("process_resident_memory_bytes", "Resident memory size in bytes.", &resident)?;
        let cpu = ConstCounter::new(facts.cpu_seconds);
        write("process_cpu_seconds", "Total user and system CPU time spent in seconds.", &cpu)?;
        let start = ConstGauge::new(facts.start_time_seconds);
        write(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            &start,
        )?;
        write("process_open_fds", "Number of open file descriptors.", &ConstGauge::new(facts.open_fds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_past_a_hostile_command_name() {
        let status = "Name:\ta) b\nVmHWM:\t   9000 kB\nVmRSS:\t    8192 kB\n";
        let stat =
            "42 (a) b (c) S 1 42 42 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 5 0 12345 1000000 2048 184467";
        let machine = "cpu  1 2 3\nbtime 1700000000\nprocesses 5\n";
        assert_eq!(
            ProcessFacts::parse(status, stat, machine, 7),
            Some(ProcessFacts {
                resident_memory_bytes: 8192 * 1024,
                cpu_seconds: 3.0,
                start_time_seconds: 1_700_000_123.45,
                open_fds: 7,
            })
        );
    }

    #[test]
    fn a_torn_read_gives_no_facts() {
        let stat = "42 (a) S 1 42 42 0";
        assert_eq!(ProcessFacts::parse("VmRSS: 1 kB", stat, "btime 1", 0), None);
        assert_eq!(ProcessFacts::parse("", "", "", 0), None);
    }

    #[test]
    fn this_process_has_facts() {
        let facts = ProcessFacts::read().unwrap();
        assert!(facts.resident_memory_bytes > 100_000, "{facts:?}");
        assert!(facts.start_time_seconds > 1_600_000_000.0, "{facts:?}");
        assert!(facts.open_fds >= 3, "{facts:?}");
    }
}
