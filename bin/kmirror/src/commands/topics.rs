//! `kmirror topics`: every topic of the source beside its copy, and the rule that decides. Changes nothing.

use kmirror::{OnTarget, TopicReport};
use serde::Serialize;

use crate::cli::TopicsArguments;
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::output;
use crate::wanted;

#[derive(Serialize)]
struct Row<'a> {
    flow: &'a str,
    source_topic: &'a str,
    selected: bool,
    rule: String,
    target_topic: Option<&'a str>,
    on_target: Option<&'static str>,
    source_partitions: i32,
    target_partitions: Option<i32>,
    source_replication_factor: i16,
    target_replication_factor: Option<i16>,
    config_differences: Option<usize>,
}

/// Runs the command.
pub(crate) async fn run(arguments: TopicsArguments) -> Result<Code, Failure> {
    let mirror = Config::load(&arguments.config.config)?.mirror(false)?;
    let mut reports = mirror.connect().await?.topics().await?;
    wanted::check("topic", &arguments.topics, reports.iter().map(|report| report.source_topic.as_str()))?;
    reports.retain(|report| !arguments.selected || report.rule.selects());
    if !arguments.topics.is_empty() {
        reports.retain(|report| arguments.topics.contains(&report.source_topic));
    }
    let rows: Vec<Row<'_>> = reports.iter().map(row).collect();
    output::print("topics", &rows, arguments.format)?;
    Ok(Code::Ok)
}

fn row(report: &TopicReport) -> Row<'_> {
    Row {
        flow: &report.flow,
        source_topic: &report.source_topic,
        selected: report.rule.selects(),
        rule: report.rule.to_string(),
        target_topic: report.target_topic.as_deref(),
        on_target: report.on_target.map(|on_target| match on_target {
            OnTarget::Exists => "exists",
            OnTarget::WouldBeCreated => "would be created",
            _ => "awaited",
        }),
        source_partitions: report.source_partitions,
        target_partitions: report.target_partitions,
        source_replication_factor: report.source_replication_factor,
        target_replication_factor: report.target_replication_factor,
        config_differences: report.config_differences,
    }
}
