//! `kmirror lag` and `kmirror status`: how far the target is behind, asked of both clusters. Change nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use kmirror::PartitionLag;
use serde::Serialize;

use crate::cli::LagArguments;
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::output;

/// A partition.
#[derive(Serialize)]
struct Row<'a> {
    flow: &'a str,
    source_topic: &'a str,
    target_topic: &'a str,
    partition: i32,
    source_end: i64,
    position: Option<i64>,
    lag: u64,
    age_seconds: Option<f64>,
    parked: Option<String>,
}

/// A topic.
#[derive(Serialize)]
struct TopicRow {
    flow: String,
    source_topic: String,
    target_topic: String,
    partitions: usize,
    parked: usize,
    source_end: i64,
    position: i64,
    lag: u64,
    age_seconds: Option<f64>,
}

/// Runs `lag`: each partition.
pub(crate) async fn run(arguments: LagArguments) -> Result<Code, Failure> {
    let lags = read(&arguments).await?;
    let rows: Vec<Row<'_>> = lags.iter().map(row).collect();
    output::print("partitions", &rows, arguments.format)?;
    Ok(judged(&arguments, &lags))
}

/// Runs `status`: each topic.
pub(crate) async fn status(arguments: LagArguments) -> Result<Code, Failure> {
    let lags = read(&arguments).await?;
    let mut topics: BTreeMap<(&str, &str, &str), Vec<&PartitionLag>> = BTreeMap::new();
    for lag in &lags {
        topics.entry((&lag.flow, &lag.source_topic, &lag.target_topic)).or_default().push(lag);
    }
    let rows: Vec<TopicRow> = topics.into_values().filter_map(|partitions| topic_row(&partitions)).collect();
    output::print("topics", &rows, arguments.format)?;
    Ok(judged(&arguments, &lags))
}

async fn read(arguments: &LagArguments) -> Result<Vec<PartitionLag>, Failure> {
    let mirror = Config::load(&arguments.config.config)?.mirror(false)?;
    let mut lags = mirror.lags().await?;
    if !arguments.topics.is_empty() {
        lags.retain(|lag| arguments.topics.contains(&lag.source_topic));
    }
    Ok(lags)
}

fn row(lag: &PartitionLag) -> Row<'_> {
    Row {
        flow: &lag.flow,
        source_topic: &lag.source_topic,
        target_topic: &lag.target_topic,
        partition: lag.partition,
        source_end: lag.source_end,
        position: lag.position,
        lag: lag.offsets(),
        age_seconds: lag.age_ms.map(seconds),
        parked: lag.parked.as_ref().map(|parked| parked.reason.to_string()),
    }
}

fn topic_row(partitions: &[&PartitionLag]) -> Option<TopicRow> {
    let first = partitions.first()?;
    Some(TopicRow {
        flow: first.flow.clone(),
        source_topic: first.source_topic.clone(),
        target_topic: first.target_topic.clone(),
        partitions: partitions.len(),
        parked: partitions.iter().filter(|lag| lag.parked.is_some()).count(),
        source_end: partitions.iter().map(|lag| lag.source_end).sum(),
        position: partitions.iter().filter_map(|lag| lag.position).sum(),
        lag: partitions.iter().map(|lag| lag.offsets()).sum(),
        age_seconds: partitions.iter().filter_map(|lag| lag.age_ms).max().map(seconds),
    })
}

fn judged(arguments: &LagArguments, lags: &[PartitionLag]) -> Code {
    let is_late = |max: Duration| {
        let max_ms = i64::try_from(max.as_millis()).unwrap_or(i64::MAX);
        lags.iter().any(|lag| lag.age_ms.is_some_and(|age_ms| age_ms > max_ms))
    };
    let is_behind = |max: u64| lags.iter().any(|lag| lag.offsets() > max);
    if arguments.max_lag.is_some_and(is_behind) || arguments.max_age.is_some_and(is_late) {
        return Code::Threshold;
    }
    Code::Ok
}

fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1_000.0
}
