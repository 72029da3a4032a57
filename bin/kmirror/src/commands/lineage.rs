//! `kmirror lineage`: where source offsets are on the target.

use kmirror::PartitionLineage;
use serde_json::json;

use crate::cli::{Format, LineageArguments};
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::streams::outln;
use crate::wanted;

/// Runs the command.
pub(crate) async fn run(arguments: LineageArguments) -> Result<Code, Failure> {
    let mirror = Config::load(&arguments.config.config)?.mirror(false)?;
    let mut lineages = mirror.connect().await?.lineages().await?;
    let known = lineages.iter().map(|partition| partition.source_topic.as_str());
    wanted::check("topic", &arguments.topics, known)?;
    if !arguments.topics.is_empty() {
        lineages.retain(|partition| arguments.topics.contains(&partition.source_topic));
    }
    match arguments.format {
        Format::Text => lineages.iter().for_each(print),
        Format::Json => outln!("{:#}", as_json(&lineages)),
    }
    Ok(Code::Ok)
}

fn print(partition: &PartitionLineage) {
    let lineage = match &partition.lineage {
        Some(lineage) if lineage.is_continuing() => {
            format!("{lineage}, behind what something else has copied")
        }
        Some(lineage) => lineage.to_string(),
        None => "nothing is recorded".to_owned(),
    };
    let lost: String =
        partition.lost.iter().map(|(first, end)| format!(", expired and filled: [{first}, {end})")).collect();
    outln!(
        "{} {}-{} to {}-{}: {lineage}{lost}",
        partition.flow,
        partition.source_topic,
        partition.partition,
        partition.target_topic,
        partition.partition
    );
}

/// Field names are stable: scripts read them.
fn as_json(lineages: &[PartitionLineage]) -> serde_json::Value {
    let partition = |partition: &PartitionLineage| {
        json!({
            "flow": partition.flow,
            "source_topic": partition.source_topic,
            "target_topic": partition.target_topic,
            "partition": partition.partition,
            "runs": partition.lineage.as_ref().map(|lineage| {
                lineage.runs().map(|run| json!({ "source": run.source, "target": run.target })).collect::<Vec<_>>()
            }),
            "continuing": partition.lineage.as_ref().is_some_and(kmirror::Lineage::is_continuing),
            "lost": partition.lost.iter().map(|(first, end)| json!({ "first": first, "end": end })).collect::<Vec<_>>(),
            "leader_epochs": partition.leader_epochs.iter().map(|(epoch, start_offset)| {
                json!({ "epoch": epoch, "start_offset": start_offset })
            }).collect::<Vec<_>>(),
        })
    };
    json!({ "partitions": lineages.iter().map(partition).collect::<Vec<_>>() })
}
