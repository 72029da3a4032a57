//! `kmirror groups`: what each consumer group would read again, or miss, if it moved to the target now. Changes nothing.

use kmirror::{GroupPartition, GroupReport};
use serde::Serialize;

use crate::cli::GroupsArguments;
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::output;
use crate::status::seconds;
use crate::wanted;

#[derive(Serialize)]
struct Row<'a> {
    flow: &'a str,
    group: &'a str,
    source_state: Option<&'a str>,
    target_state: Option<&'a str>,
    source_topic: &'a str,
    target_topic: &'a str,
    partition: i32,
    source_offset: i64,
    wanted_offset: Option<i64>,
    target_offset: Option<i64>,
    /// Nothing where it stands nowhere on the target.
    again: Option<u64>,
    missed: Option<u64>,
    /// Of the first record that would be read again or missed.
    age_seconds: Option<f64>,
}

/// Runs the command.
pub(crate) async fn run(arguments: GroupsArguments) -> Result<Code, Failure> {
    let mirror = Config::load(&arguments.config.config)?.mirror(false)?;
    let mut reports = mirror.connect().await?.groups().await?;
    wanted::check("group", &arguments.groups, reports.iter().map(|report| report.group.as_str()))?;
    if !arguments.groups.is_empty() {
        reports.retain(|report| arguments.groups.contains(&report.group));
    }
    let rows: Vec<Row<'_>> = reports
        .iter()
        .flat_map(|report| report.partitions.iter().map(move |partition| row(report, partition)))
        .collect();
    output::print("groups", &rows, arguments.format)?;
    Ok(Code::Ok)
}

fn row<'a>(report: &'a GroupReport, partition: &'a GroupPartition) -> Row<'a> {
    Row {
        flow: &report.flow,
        group: &report.group,
        source_state: report.source_state.as_deref(),
        target_state: report.target_state.as_deref(),
        source_topic: &partition.source_topic,
        target_topic: &partition.target_topic,
        partition: partition.partition,
        source_offset: partition.source_offset,
        wanted_offset: partition.wanted_offset,
        target_offset: partition.target_offset,
        again: partition.again(),
        missed: partition.missed(),
        age_seconds: partition.age_ms.map(seconds),
    }
}
