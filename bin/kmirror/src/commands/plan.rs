//! `kmirror plan`: what `run` would do with each partition. Changes nothing.

use kmirror::{PartitionPlan, PlanStep};
use serde_json::json;

use crate::cli::{Format, PlanArguments};
use crate::config::Config;
use crate::exit::{Code, Failure};

/// Runs the command.
pub(crate) async fn run(arguments: PlanArguments) -> Result<Code, Failure> {
    let mirror = Config::load(&arguments.config.config)?.mirror(false)?;
    let plans = mirror.plan().await?;
    match arguments.format {
        Format::Text => plans.iter().for_each(print),
        Format::Json => {
            println!("{:#}", json!({ "partitions": plans.iter().map(as_json).collect::<Vec<_>>() }))
        }
    }
    Ok(Code::Ok)
}

fn print(plan: &PartitionPlan) {
    let created = if plan.creates_topic { "create the topic, " } else { "" };
    println!(
        "{} {}-{} to {}-{}: {created}{} (the source ends at {})",
        plan.flow,
        plan.source_topic,
        plan.partition,
        plan.target_topic,
        plan.partition,
        plan.step,
        plan.source_end
    );
}

/// Field names are stable: scripts read them.
fn as_json(plan: &PartitionPlan) -> serde_json::Value {
    let (step, reason) = match &plan.step {
        PlanStep::Begin { .. } => ("begin", None),
        PlanStep::FillHead { .. } => ("fill_head", None),
        PlanStep::Resume { .. } => ("resume", None),
        PlanStep::Park(parked) => ("park", Some(parked.reason.to_string())),
        _ => ("other", None),
    };
    json!({
        "flow": plan.flow,
        "source_topic": plan.source_topic,
        "target_topic": plan.target_topic,
        "partition": plan.partition,
        "creates_topic": plan.creates_topic,
        "step": step,
        "reason": reason,
        "detail": plan.step.to_string(),
        "source_end": plan.source_end,
    })
}
