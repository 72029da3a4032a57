//! `kmirror lag`: how far the target is behind, asked of both clusters. Changes nothing.

use std::time::Duration;

use kmirror::PartitionLag;
use serde::Serialize;

use crate::cli::LagArguments;
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::output;
use crate::status::seconds;
use crate::wanted;

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

/// Runs the command.
pub(crate) async fn run(arguments: LagArguments) -> Result<Code, Failure> {
    let config = Config::load(&arguments.config.config)?;
    let mut lags = config.mirror(false)?.connect().await?.lags().await?;
    wanted::check("topic", &arguments.topics, lags.iter().map(|lag| lag.source_topic.as_str()))?;
    lags.retain(|lag| arguments.selects(&lag.source_topic));
    let rows: Vec<Row<'_>> = lags.iter().map(row).collect();
    output::print("partitions", &rows, arguments.format)?;
    Ok(arguments.judge(lags.iter().map(|lag| (Some(lag.offsets()), lag.age_ms.map(seconds)))))
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

impl LagArguments {
    /// Whether a source topic is asked for.
    pub(crate) fn selects(&self, source_topic: &str) -> bool {
        self.topics.is_empty() || self.topics.iter().any(|topic| topic == source_topic)
    }

    /// Whether partitions, by their lag in offsets and the age of the first record that is not there, are within the limits.
    pub(crate) fn judge(&self, partitions: impl IntoIterator<Item = (Option<u64>, Option<f64>)>) -> Code {
        let is_above = |(offsets, age_seconds): (Option<u64>, Option<f64>)| {
            // What is not known is not within a limit.
            self.max_lag.is_some_and(|max| offsets.is_none_or(|offsets| offsets > max))
                || self
                    .max_age
                    .is_some_and(|max: Duration| age_seconds.is_some_and(|age| age > max.as_secs_f64()))
        };
        if partitions.into_iter().any(is_above) { Code::Threshold } else { Code::Ok }
    }
}
