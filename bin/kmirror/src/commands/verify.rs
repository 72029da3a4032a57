//! `kmirror verify`: read both sides and compare every record.

use std::sync::Arc;
use std::time::Duration;

use kmirror::{Error, PartitionReport, Verdict, VerifyOptions, VerifyProgress, VerifyReport};
use serde_json::json;

use crate::cli::{Format, VerifyArguments};
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::progress::Screen;
use crate::signals;
use crate::streams::{errln, outln};

/// Runs the command.
pub(crate) async fn run(arguments: VerifyArguments, screen: &Screen) -> Result<Code, Failure> {
    let mirror = Config::load(&arguments.config.config)?.mirror(false)?;
    let mut options = VerifyOptions::default();
    options.topics = arguments.topics;
    options.from = arguments.from;
    options.sample = arguments.sample;
    let progress = Arc::new(VerifyProgress::default());
    let report = tokio::select! {
        report = async { mirror.connect().await?.verify(&options, Arc::clone(&progress)).await } => {
            report.map_err(|error| failure(error, &options.topics))?
        }
        code = signals::stop() => return Ok(code),
        () = show(screen, &progress) => return Ok(Code::Runtime),
    };
    match arguments.format {
        Format::Text => print_text(&report, arguments.complete),
        Format::Json => outln!("{:#}", as_json(&report)),
    }
    Ok(code_of(&report, arguments.complete))
}

/// Where nothing was selected that could be compared, the arguments or the selection are wrong, and not the clusters.
fn failure(error: Error, topics: &[String]) -> Failure {
    let is_usage = match &error {
        Error::NothingSelected { .. } | Error::NotSelected { .. } | Error::BehindTheEnd { .. } => true,
        Error::NoSuchTopic { topic, .. } => topics.contains(topic),
        _ => false,
    };
    if is_usage { Failure::new(Code::Usage, error.to_string()) } else { error.into() }
}

fn code_of(report: &VerifyReport, must_be_complete: bool) -> Code {
    if report.verdict().is_bad() || must_be_complete && !report.is_complete() {
        Code::Differences
    } else {
        Code::Ok
    }
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
            errln!("compared {} of {} offsets", progress.offsets_done(), progress.offsets_total());
        }
    }
}

fn print_text(report: &VerifyReport, must_be_complete: bool) {
    for partition in &report.partitions {
        outln!("{}", line_of(partition));
        for difference in &partition.differences {
            let place = format!("{}-{}", partition.target_topic, partition.partition);
            let offset = difference.offset.map(|offset| format!(" offset {offset}")).unwrap_or_default();
            outln!("  {place}{offset}: {}: {}", difference.kind, difference.detail);
        }
        let unlisted = partition.differences_count - partition.differences.len() as u64;
        if unlisted > 0 {
            outln!("  and {unlisted} more");
        }
    }
    outln!("{}", summary(report));
    if must_be_complete && !report.is_complete() {
        outln!("INCOMPLETE: {} offsets are not copied yet", report.behind());
    }
}

/// The last line: what is to be said of all partitions.
fn summary(report: &VerifyReport) -> String {
    let (partitions, records) = (report.partitions.len(), report.records_equal());
    let behind = match report.behind() {
        0 => String::new(),
        behind => format!(", {behind} offsets not copied yet"),
    };
    match report.verdict() {
        Verdict::Equal => {
            let compared =
                report.partitions.iter().filter(|partition| partition.records_compared > 0).count();
            format!("equal: {records} records in {compared} partitions{behind}")
        }
        Verdict::NothingToCompare => {
            format!("nothing to compare: there are no records in {partitions} partitions")
        }
        Verdict::NotCopiedYet => {
            format!("not copied yet: {} offsets in {partitions} partitions", report.behind())
        }
        Verdict::RemovedByRetention => format!(
            "NOT COMPARABLE: the target's own retention removed {} records that the source keeps, {records} records are equal{behind}",
            report.records_removed()
        ),
        _ => format!(
            "DIFFERENT: {} differences in {partitions} partitions, {records} records are equal{behind}",
            report.differences_count()
        ),
    }
}

fn line_of(partition: &PartitionReport) -> String {
    let mut line = format!("{} {}-{}: ", partition.flow, partition.target_topic, partition.partition);
    line.push_str(match partition.verdict() {
        Verdict::Equal => "equal",
        Verdict::NothingToCompare => "nothing to compare",
        Verdict::NotCopiedYet => "not copied yet",
        Verdict::RemovedByRetention => "NOT COMPARABLE",
        _ => "DIFFERENT",
    });
    if let (Some(first), Some(end)) = (partition.first, partition.end) {
        line.push_str(&format!(", offsets [{first}, {end}), {} records", partition.records_equal));
    }
    if !partition.is_on_target {
        line.push_str(", not on the target");
    }
    if let Some(from) = partition.comparable_from {
        line.push_str(&format!(", not comparable below {from}"));
    }
    let removed = format!("removed by the target's own retention ({})", partition.removed_by);
    for (count, what) in [
        (partition.records_removed, removed.as_str()),
        (partition.records_expired, "expired there, as they may on the source"),
        (partition.offsets_older, "offsets that the source holds no more"),
        (partition.records_cleaned, "only on one side by cleaning"),
        (partition.records_unproven, "only on one side, which a sample cannot judge"),
        (partition.records_foreign, "records of somebody else stepped over"),
        (partition.append_times_kept, "append times kept as create times"),
        (partition.behind, "offsets not copied yet"),
    ] {
        if count > 0 {
            line.push_str(&format!(", {count} {what}"));
        }
    }
    line
}

/// Field names are stable: scripts read them.
fn as_json(report: &VerifyReport) -> serde_json::Value {
    let partition = |partition: &PartitionReport| {
        json!({
            "flow": partition.flow,
            "source_topic": partition.source_topic,
            "target_topic": partition.target_topic,
            "partition": partition.partition,
            "verdict": partition.verdict().name(),
            "on_target": partition.is_on_target,
            "first_offset": partition.first,
            "end_offset": partition.end,
            "compared": partition.records_compared,
            "records_equal": partition.records_equal,
            "records_cleaned": partition.records_cleaned,
            "records_unproven": partition.records_unproven,
            "records_expired": partition.records_expired,
            "records_removed": partition.records_removed,
            "removed_by": Some(&partition.removed_by).filter(|settings| !settings.is_empty()),
            "comparable_from": partition.comparable_from,
            "offsets_older": partition.offsets_older,
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
    // Nothing is said to be equal that was not compared, and nothing to be different.
    let equal = match report.verdict() {
        Verdict::NothingToCompare | Verdict::NotCopiedYet => None,
        verdict => Some(verdict == Verdict::Equal),
    };
    json!({
        "verdict": report.verdict().name(),
        "equal": equal,
        "complete": report.is_complete(),
        "compared": report.records_compared(),
        "offsets_behind": report.behind(),
        "records_equal": report.records_equal(),
        "differences_count": report.differences_count(),
        "partitions": report.partitions.iter().map(partition).collect::<Vec<_>>(),
    })
}

const SHOW_INTERVAL: Duration = Duration::from_millis(200);
const TICKS_PER_LINE: u32 = 50;
