//! What was measured: every row, and what they say together.

use std::fmt::Write as _;

use super::cell::{Cell, Preloaded};
use super::race::Cost;
use crate::results::{at_least, table};
use crate::stage::Goal;
use crate::statistics::{Spread, median};

/// One copy.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Row {
    pub(crate) cell: String,
    pub(crate) contender: String,
    pub(crate) round: u32,
    pub(crate) preloaded: Preloaded,
    pub(crate) measurement: Measurement,
}

/// What a copy cost, and what a bare relay cost right before and after it.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
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
    pub(crate) per_gigabyte: Spread,
    pub(crate) per_gigabyte_decoded: f64,
    /// Times the CPU of the relay.
    pub(crate) relays: f64,
    /// Times the CPU of kmirror.
    pub(crate) kmirrors: f64,
    pub(crate) megabytes_per_second: f64,
    pub(crate) mebibytes: f64,
    pub(crate) first_record_seconds: f64,
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

/// One for each topic and contender, in the order in which they were measured.
pub(crate) fn summaries(rows: &[Row]) -> Vec<Summary> {
    let mut names: Vec<(&str, &str)> = Vec::new();
    for row in rows {
        let name = (row.cell.as_str(), row.contender.as_str());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.into_iter().map(|(cell, contender)| summary(rows, cell, contender)).collect()
}

fn summary(rows: &[Row], cell: &str, contender: &str) -> Summary {
    let of = |contender: &str| -> Vec<&Row> {
        rows.iter().filter(|row| row.cell == cell && row.contender == contender).collect()
    };
    let rows = of(contender);
    let each = |value: &dyn Fn(&Row) -> f64| rows.iter().map(|row| value(row)).collect::<Vec<f64>>();
    let cpu = |row: &Row| row.measurement.cost.cpu_seconds_copying();
    let per_gigabyte = |row: &Row| cpu(row) / row.preloaded.bytes as f64 * 1e9;
    let kmirror = median(of("kmirror").into_iter().map(per_gigabyte));
    let all = Spread::of(each(&per_gigabyte));
    Summary {
        cell: cell.to_owned(),
        contender: contender.to_owned(),
        per_gigabyte: all,
        per_gigabyte_decoded: median(each(&|row| cpu(row) / row.preloaded.bytes_decoded as f64 * 1e9)),
        relays: median(each(&|row| cpu(row) / row.measurement.relay_cpu_seconds)),
        kmirrors: all.median / kmirror,
        megabytes_per_second: median(each(&|row| {
            row.preloaded.bytes as f64 / 1e6 / row.measurement.cost.seconds_copying().max(1e-3)
        })),
        mebibytes: median(each(&|row| row.measurement.cost.memory_bytes_max as f64 / f64::from(1 << 20))),
        first_record_seconds: median(each(&|row| row.measurement.cost.first_record_seconds)),
    }
}

/// The table, and what its columns are.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let columns = [
        "topic",
        "mirror",
        "CPU s per GB on the wire",
        "per GB decoded",
        "× relay",
        "× kmirror",
        "MB/s",
        "MiB",
        "first record",
    ];
    let lines = summaries(rows).into_iter().map(|summary| {
        vec![
            summary.cell,
            summary.contender,
            summary.per_gigabyte.text(2),
            format!("{:.2}", summary.per_gigabyte_decoded),
            format!("{:.2}", summary.relays),
            format!("{:.1}", summary.kmirrors),
            format!("{:.0}", summary.megabytes_per_second),
            format!("{:.0}", summary.mebibytes),
            format!("{:.2} s", summary.first_record_seconds),
        ]
    });
    format!(
        "One node on each side; medians (least–most). CPU seconds of the copying process after its first record, for all bytes as for \
         those that came after it; every copy was \
         verified by its content.\n\n{}\n{}",
        table(&columns, lines),
        findings(rows)
    )
}

/// What is wanted of kmirror, beside what was found.
fn findings(rows: &[Row]) -> String {
    let summaries = summaries(rows);
    let of = |cell: Cell, contender: &str| {
        summaries.iter().find(|summary| summary.cell == cell.name() && summary.contender == contender)
    };
    let mut lines = String::new();
    let mut line = |cell: Cell, text: String| {
        let _ = writeln!(lines, "- {}: {text}", cell.name());
    };
    if let Some(kmirror) = of(Cell::Raw, "kmirror") {
        line(Cell::Raw, RELAYS.beside(kmirror.relays));
    }
    for (cell, contender, least) in RATIOS {
        if let Some(other) = of(cell, contender) {
            line(cell, at_least(&format!("CPU of {contender}"), other.kmirrors, least, "times kmirror's"));
        }
    }
    lines
}

const RELAYS: Goal = Goal { of: "CPU of kmirror", most: 1.3, unit: "times the relay's" };
/// How many times the CPU of kmirror others are to need.
const RATIOS: [(Cell, &str, f64); 6] = [
    (Cell::Zstd, "MirrorMaker 2, tuned", 25.0),
    (Cell::Lz4, "MirrorMaker 2, tuned", 25.0),
    (Cell::Single, "MirrorMaker 2, tuned", 8.0),
    (Cell::Raw, "franz-go loop", 5.0),
    (Cell::Zstd, "franz-go loop", 5.0),
    (Cell::Lz4, "franz-go loop", 5.0),
];

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
                offsets: 10,
                bytes: 2_000_000_000,
                bytes_decoded: 4_000_000_000,
                batch_bytes_mean: 1,
                digests: None,
            },
            measurement: Measurement {
                cost: Cost {
                    wall_seconds: 3.0,
                    first_record_seconds: 1.0,
                    cpu_seconds,
                    cpu_seconds_before_first: 1.0,
                    share_at_first: 0.0,
                    memory_bytes_max: 2 << 20,
                },
                relay_cpu_seconds: 2.0,
            },
        };
        let rows = vec![row("kmirror", 2.0), row("other", 9.0), row("other", 21.0), row("kmirror", 4.0)];
        let [kmirror, other] = summaries(&rows).try_into().expect("two");
        assert_eq!((kmirror.per_gigabyte.median, kmirror.kmirrors, kmirror.relays), (1.0, 1.0, 1.0));
        assert_eq!(other.per_gigabyte, Spread { least: 4.0, median: 7.0, most: 10.0 });
        assert_eq!(
            (other.kmirrors, other.per_gigabyte_decoded, other.mebibytes, other.megabytes_per_second),
            (7.0, 3.5, 2.0, 1_000.0)
        );
        let text = markdown(&rows);
        assert!(text.contains("| c | other | 7.00 (4.00–10.00) | 3.50 |"), "{text}");
    }
}
