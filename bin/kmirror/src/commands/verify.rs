//! `kmirror verify`: read both sides and compare every record.

use std::sync::Arc;
use std::time::Duration;

use kmirror::{PartitionReport, VerifyOptions, VerifyProgress, VerifyReport};
use serde_json::json;

use crate::cli::{Format, VerifyArguments};
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::progress::Screen;
use crate::signals;

/// Runs the command.
pub(crate) async fn run(arguments: VerifyArguments, screen: &Screen) -> Result<Code, Failure> {
    let mirror = Config::load(&arguments.config.config)?.mirror(false)?;
    let mut options = VerifyOptions::default();
    options.topics = arguments.topics;
    options.from = arguments.from;
    options.sample = arguments.sample;
    let progress = Arc::new(VerifyProgress::default());
    let report = tokio::select! {
        report = mirror.verify(&options, Arc::clone(&progress)) => report?,
        code = signals::stop() => return Ok(code),
        () = show(screen, &progress) => return Ok(Code::Runtime),
    };
    match arguments.format {
        Format::Text => print_text(&report),
        Format::Json => println!("{:#}", as_json(&report)),
    }
    Ok(if report.is_equal() { Code::Ok } else { Code::Differences })
}

async fn show(screen: &Screen, progress: &VerifyProgress) {
    let bar = screen.bar("{wide_bar} {percent:>3}% of {len} offsets, {eta} left");
    let mut tick = tokio::time::interval(SHOW_INTERVAL);
    let mut ticks = 0u32;
    loop {
        tick.tick().await;
        bar.set_length(progress.offsets_total());
        bar.set_position(progress.offsets_done());
        ticks += 1;
        if !screen.is_terminal() && ticks.is_multiple_of(TICKS_PER_LINE) {
            eprintln!("compared {} of {} offsets", progress.offsets_done(), progress.offsets_total());
        }
    }
}

fn print_text(report: &VerifyReport) {
    for partition in &report.partitions {
        print_partition(partition);
    }
    let (partitions, records) = (report.partitions.len(), report.records_equal());
    if report.is_equal() {
        println!("equal: {records} records in {partitions} partitions");
    } else {
        println!(
            "DIFFERENT: {} differences in {partitions} partitions, {records} records are equal",
            report.differences_count()
        );
    }
}

fn print_partition(partition: &PartitionReport) {
    let verdict = if partition.differences_count == 0 { "equal" } else { "DIFFERENT" };
    let mut line = format!(
        "{} {}-{}: {verdict}, offsets [{}, {}), {} records",
        partition.flow,
        partition.target_topic,
        partition.partition,
        partition.first,
        partition.end,
        partition.records_equal
    );
    for (count, what) in [
        (partition.records_cleaned, "only on one side by cleaning"),
        (partition.records_foreign, "records of somebody else stepped over"),
        (partition.append_times_kept, "append times kept as create times"),
        (partition.behind, "offsets not copied yet"),
    ] {
        if count > 0 {
            line.push_str(&format!(", {count} {what}"));
        }
    }
    println!("{line}");
    for difference in &partition.differences {
        let place = format!("{}-{}", partition.target_topic, partition.partition);
        println!("  {place} offset {}: {}: {}", difference.offset, difference.kind, difference.detail);
    }
    let unlisted = partition.differences_count - partition.differences.len() as u64;
    if unlisted > 0 {
        println!("  and {unlisted} more");
    }
}

/// Field names are stable: scripts read them.
fn as_json(report: &VerifyReport) -> serde_json::Value {
    let partition = |partition: &PartitionReport| {
        json!({
            "flow": partition.flow,
            "source_topic": partition.source_topic,
            "target_topic": partition.target_topic,
            "partition": partition.partition,
            "first_offset": partition.first,
            "end_offset": partition.end,
            "records_equal": partition.records_equal,
            "records_cleaned": partition.records_cleaned,
            "append_times_kept": partition.append_times_kept,
            "records_foreign": partition.records_foreign,
            "runs": partition.runs.iter().map(|run| json!({ "source": run.source, "target": run.target })).collect::<Vec<_>>(),
            "offsets_behind": partition.behind,
            "differences_count": partition.differences_count,
            "differences": partition.differences.iter().map(|difference| json!({
                "offset": difference.offset,
                "kind": difference.kind.name(),
                "detail": difference.detail,
            })).collect::<Vec<_>>(),
        })
    };
    json!({
        "equal": report.is_equal(),
        "records_equal": report.records_equal(),
        "differences_count": report.differences_count(),
        "partitions": report.partitions.iter().map(partition).collect::<Vec<_>>(),
    })
}

const SHOW_INTERVAL: Duration = Duration::from_millis(200);
const TICKS_PER_LINE: u32 = 50;
