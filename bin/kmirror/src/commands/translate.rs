//! `kmirror translate`: one offset, looked up in the lineage.

use kmirror::PartitionLineage;
use serde_json::json;

use crate::cli::{Format, TranslateArguments};
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::streams::outln;

/// Runs the command. Every flow that copies the topic gives an answer.
pub(crate) async fn run(arguments: TranslateArguments) -> Result<Code, Failure> {
    let mirror = Config::load(&arguments.config.config)?.mirror(false)?;
    let lineages = mirror.connect().await?.lineages().await?;
    let is_wanted = |topic: &str, partition| topic == arguments.topic && partition == arguments.partition;
    let mut is_known = false;
    for partition in lineages.iter().filter(|lineage| is_wanted(&lineage.source_topic, lineage.partition)) {
        is_known = true;
        let offsets = mirror.flows().find(|flow| flow.name() == partition.flow).map(|flow| flow.offsets);
        let lineage = partition.known(offsets.unwrap_or_default()).ok_or_else(|| {
            Failure::runtime(format!(
                "{}: nothing is recorded of {}-{}, whose offsets are shifted",
                partition.flow, partition.target_topic, partition.partition
            ))
            .help("it is recorded when `kmirror run` takes the partition over")
        })?;
        let first = lineage.first();
        let is_before = if arguments.reverse {
            arguments.offset < first.target
        } else {
            !lineage.knows(arguments.offset)
        };
        if lineage.is_continuing() && is_before {
            return Err(Failure::runtime(format!(
                "{}: where offset {} of {}-{} is on the other side is not known: something else has copied it before kmirror went on, at \
                 source offset {} and target offset {}",
                partition.flow,
                arguments.offset,
                partition.target_topic,
                partition.partition,
                first.source,
                first.target
            )));
        }
        let (source, target) = if arguments.reverse {
            (lineage.source_of(arguments.offset), arguments.offset)
        } else {
            (arguments.offset, lineage.target_of(arguments.offset))
        };
        is_there(partition, target)?;
        match arguments.format {
            Format::Text if arguments.reverse => outln!("{source}"),
            Format::Text => outln!("{target}"),
            Format::Json => outln!(
                "{:#}",
                json!({
                    "flow": partition.flow,
                    "source_topic": partition.source_topic,
                    "target_topic": partition.target_topic,
                    "partition": partition.partition,
                    "source_offset": source,
                    "target_offset": target,
                })
            ),
        }
    }
    if is_known {
        return Ok(Code::Ok);
    }
    Err(Failure::runtime(format!(
        "no flow copies partition {} of topic {:?}",
        arguments.partition, arguments.topic
    ))
    .help("`kmirror lineage` lists what is copied"))
}

/// Whether the target's log has come to this offset: the next record of a reader that has read all may be there.
fn is_there(partition: &PartitionLineage, target_offset: i64) -> Result<(), Failure> {
    let PartitionLineage { flow, target_topic, partition: number, target_end, .. } = partition;
    match target_end {
        Some(end) if target_offset <= *end => Ok(()),
        Some(end) => Err(Failure::runtime(format!(
            "{flow}: offset {target_offset} of {target_topic}-{number} is not on the target yet: its log ends at {end}"
        ))),
        None => Err(Failure::runtime(format!(
            "{flow}: the target has no {target_topic}-{number}, or does not say where it ends: nothing is there yet"
        ))),
    }
}
