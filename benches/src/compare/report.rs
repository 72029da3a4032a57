//! What was measured: every row, and what they say together.

use std::fmt::Write as _;
use std::fs;
use std::thread;

use super::cell::Preloaded;
use super::race::Cost;

/// A whole comparison.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Report {
    machine: Machine,
    gigabytes: f64,
    rounds: u32,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug, serde::Serialize)]
struct Machine {
    cores: usize,
    processor: String,
    kernel: String,
    kafka: &'static str,
    kmirror: &'static str,
}

/// One copy.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Row {
    pub(crate) cell: String,
    pub(crate) contender: String,
    pub(crate) round: u32,
    pub(crate) preloaded: Preloaded,
    pub(crate) measurement: Measurement,
}

/// What a copy cost, and what a bare relay cost right before and after it.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Measurement {
    #[serde(flatten)]
    pub(crate) cost: Cost,
    pub(crate) relay_cpu_seconds: f64,
}

/// All copies of one topic by one contender: medians.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) cell: String,
    pub(crate) contender: String,
    /// CPU seconds of the copying for each gigabyte on the wire.
    pub(crate) per_gigabyte: f64,
    per_gigabyte_range: (f64, f64),
    per_gigabyte_decoded: f64,
    /// Times the CPU of the relay.
    relays: f64,
    /// Times the CPU of kmirror.
    kmirrors: f64,
    megabytes_per_second: f64,
    mebibytes: f64,
    first_record_seconds: f64,
}

impl Measurement {
    pub(crate) fn line(&self, preloaded: &Preloaded) -> String {
        let gigabytes = preloaded.bytes as f64 / 1e9;
        let Cost { wall_seconds, first_record_seconds, cpu_seconds, memory_bytes_max, .. } = self.cost;
        format!(
            "{:.3} CPU s/GB ({:.2} times the relay), {cpu_seconds:.2} CPU s in all; {wall_seconds:.1} s, first record after \
             {first_record_seconds:.2} s; {:.0} MiB",
            self.cost.cpu_seconds_copying() / gigabytes,
            self.cost.cpu_seconds_copying() / self.relay_cpu_seconds,
            memory_bytes_max as f64 / f64::from(1 << 20),
        )
    }
}

impl Report {
    pub(crate) fn new(gigabytes: f64, rounds: u32) -> Report {
        Report { machine: Machine::this(), gigabytes, rounds, rows: Vec::new() }
    }

    /// One for each topic and contender, in the order in which they were measured.
    pub(crate) fn summaries(&self) -> Vec<Summary> {
        let mut names: Vec<(&str, &str)> = Vec::new();
        for row in &self.rows {
            let name = (row.cell.as_str(), row.contender.as_str());
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.into_iter().map(|(cell, contender)| self.summary(cell, contender)).collect()
    }

    fn summary(&self, cell: &str, contender: &str) -> Summary {
        let rows: Vec<&Row> =
            self.rows.iter().filter(|row| row.cell == cell && row.contender == contender).collect();
        let all = |of: &dyn Fn(&Row) -> f64| sorted(rows.iter().map(|row| of(row)));
        let cpu = |row: &Row| row.measurement.cost.cpu_seconds_copying();
        let per_gigabyte = all(&|row| cpu(row) / row.preloaded.bytes as f64 * 1e9);
        let kmirror = self.rows.iter().filter(|row| row.cell == cell && row.contender == "kmirror");
        let kmirror = median(&sorted(kmirror.map(|row| cpu(row) / row.preloaded.bytes as f64 * 1e9)));
        Summary {
            cell: cell.to_owned(),
            contender: contender.to_owned(),
            per_gigabyte: median(&per_gigabyte),
            per_gigabyte_range: (
                per_gigabyte.first().copied().unwrap_or_default(),
                per_gigabyte.last().copied().unwrap_or_default(),
            ),
            per_gigabyte_decoded: median(&all(&|row| cpu(row) / row.preloaded.bytes_decoded as f64 * 1e9)),
            relays: median(&all(&|row| cpu(row) / row.measurement.relay_cpu_seconds)),
            kmirrors: median(&per_gigabyte) / kmirror,
            megabytes_per_second: median(&all(&|row| {
                let Cost { wall_seconds, first_record_seconds, .. } = row.measurement.cost;
                row.preloaded.bytes as f64 / 1e6 / (wall_seconds - first_record_seconds).max(1e-3)
            })),
            mebibytes: median(&all(&|row| row.measurement.cost.memory_bytes_max as f64 / f64::from(1 << 20))),
            first_record_seconds: median(&all(&|row| row.measurement.cost.first_record_seconds)),
        }
    }

    /// The table, with all that must be known to repeat it.
    pub(crate) fn markdown(&self) -> String {
        let Machine { cores, processor, kernel, kafka, kmirror } = &self.machine;
        let mut text = format!(
            "{cores} cores ({processor}), {kernel}; Kafka {kafka}, one node on each side; kmirror {kmirror}; {} GB on the wire, {} rounds, \
             medians (least–most). CPU seconds of the copying process after its first record; every copy was verified by its content.\n\n\
             | topic | mirror | CPU s per GB on the wire | per GB decoded | × relay | × kmirror | MB/s | MiB | first record |\n\
             |---|---|---|---|---|---|---|---|---|\n",
            self.gigabytes, self.rounds
        );
        for summary in self.summaries() {
            let (least, most) = summary.per_gigabyte_range;
            let _ = writeln!(
                text,
                "| {} | {} | {:.2} ({least:.2}–{most:.2}) | {:.2} | {:.2} | {:.1} | {:.0} | {:.0} | {:.2} s |",
                summary.cell,
                summary.contender,
                summary.per_gigabyte,
                summary.per_gigabyte_decoded,
                summary.relays,
                summary.kmirrors,
                summary.megabytes_per_second,
                summary.mebibytes,
                summary.first_record_seconds,
            );
        }
        text
    }
}

impl Machine {
    fn this() -> Machine {
        let line = |path: &str, name: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let found = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            found.trim_start_matches([' ', '\t', ':']).trim().to_owned()
        };
        Machine {
            cores: thread::available_parallelism().map_or(1, usize::from),
            processor: line("/proc/cpuinfo", "model name"),
            kernel: format!("Linux {}", line("/proc/sys/kernel/osrelease", "")),
            kafka: kmirror_testkit::KafkaRelease::KAFKA_4_3.version(),
            kmirror: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => at(count / 2),
        count => (at(count / 2 - 1) + at(count / 2)) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_holds_medians_and_ratios() {
        let row = |contender: &str, cpu_seconds: f64| Row {
            cell: "c".to_owned(),
            contender: contender.to_owned(),
            round: 0,
            preloaded: Preloaded {
                topic: String::new(),
                partitions: 1,
                records: 10,
                bytes: 2_000_000_000,
                bytes_decoded: 4_000_000_000,
                batch_bytes_mean: 1,
            },
            measurement: Measurement {
                cost: Cost {
                    wall_seconds: 3.0,
                    first_record_seconds: 1.0,
                    cpu_seconds,
                    cpu_seconds_before_first: 1.0,
                    memory_bytes_max: 2 << 20,
                },
                relay_cpu_seconds: 2.0,
            },
        };
        let rows = vec![row("kmirror", 2.0), row("other", 9.0), row("other", 21.0), row("kmirror", 4.0)];
        let report = Report { rows, ..Report::new(2.0, 2) };
        let [kmirror, other] = report.summaries().try_into().expect("two");
        assert_eq!((kmirror.per_gigabyte, kmirror.kmirrors, kmirror.relays), (1.0, 1.0, 1.0));
        assert_eq!((other.per_gigabyte, other.per_gigabyte_range, other.kmirrors), (7.0, (4.0, 10.0), 7.0));
        assert_eq!(
            (other.per_gigabyte_decoded, other.mebibytes, other.megabytes_per_second),
            (3.5, 2.0, 1_000.0)
        );
        assert!(
            report.markdown().contains("| c | other | 7.00 (4.00–10.00) | 3.50 |"),
            "{}",
            report.markdown()
        );
    }

    #[test]
    fn a_median_is_in_the_middle() {
        for (values, expected) in [(&[][..], 0.0), (&[3.0], 3.0), (&[1.0, 2.0], 1.5), (&[1.0, 2.0, 9.0], 2.0)]
        {
            assert_eq!(median(values), expected);
        }
    }
}
