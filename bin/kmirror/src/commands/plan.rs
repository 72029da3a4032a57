//! `kmirror plan`: what `run` would do, kind by kind, and why. Changes nothing.

use kmirror::{
    AclAction, AclPlan, ConfigPlan, GroupPlan, PartitionPlan, Plan, PlanStep, TopicPlan, TopicStep,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::{Format, PlanArguments, TableFormat};
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::output;
use crate::streams::{errln, outln};

/// One thing that would be done, as people read it.
#[derive(Serialize)]
struct Line<'a> {
    flow: &'a str,
    what: String,
    change: String,
    why: String,
}

/// Runs the command.
pub(crate) async fn run(arguments: PlanArguments) -> Result<Code, Failure> {
    let mirror = Config::load(&arguments.config.config)?.mirror(false)?;
    let plan = mirror.connect().await?.plan().await?;
    match arguments.format {
        Format::Text => print(&plan)?,
        Format::Json => outln!("{:#}", as_json(&plan)),
    }
    let is_to_be_told = arguments.exit_code && !plan.is_empty();
    Ok(if is_to_be_told { Code::Threshold } else { Code::Ok })
}

/// A table of each kind of which there is something to be done, and a line on the rest.
fn print(plan: &Plan) -> Result<(), Failure> {
    let (idle, busy): (Vec<_>, Vec<_>) = plan.partitions.iter().partition(|partition| partition.is_nothing());
    let sections = [
        ("topics", plan.topics.iter().map(of_topic).collect::<Vec<_>>()),
        ("configurations", plan.configs.iter().map(of_config).collect()),
        ("partitions", busy.into_iter().map(of_partition).collect()),
        ("access control entries", plan.acls.iter().map(of_acl).collect()),
        ("groups", plan.groups.iter().map(of_group).collect()),
    ];
    for (name, lines) in sections {
        if !lines.is_empty() {
            outln!("{name}:");
            output::print(name, &lines, TableFormat::Text)?;
            outln!("");
        }
    }
    if !idle.is_empty() {
        outln!("{} partitions go on, with nothing to copy", idle.len());
    }
    if plan.is_empty() {
        outln!("nothing to do");
    }
    plan.notes.iter().for_each(|note| errln!("{note}"));
    Ok(())
}

fn of_topic(plan: &TopicPlan) -> Line<'_> {
    Line {
        flow: &plan.flow,
        what: plan.target_topic.clone(),
        change: plan.step.to_string(),
        why: plan.reason.clone(),
    }
}

fn of_config(plan: &ConfigPlan) -> Line<'_> {
    Line {
        flow: &plan.flow,
        what: plan.target_topic.clone(),
        change: plan.step.to_string(),
        why: plan.reason.clone(),
    }
}

fn of_partition(plan: &PartitionPlan) -> Line<'_> {
    let (from, to) = (&plan.source_topic, &plan.target_topic);
    let what = match from == to {
        true => format!("{to}-{}", plan.partition),
        false => format!("{from}-{} to {to}-{}", plan.partition, plan.partition),
    };
    let why = format!("the source ends at {}", plan.source_end);
    Line { flow: &plan.flow, what, change: plan.step.to_string(), why }
}

fn of_acl(plan: &AclPlan) -> Line<'_> {
    let change = match plan.action {
        AclAction::Remove => "remove",
        _ => "add",
    };
    Line { flow: &plan.flow, what: plan.entry.clone(), change: change.to_owned(), why: plan.reason.clone() }
}

fn of_group(plan: &GroupPlan) -> Line<'_> {
    let shown =
        |offset: Option<i64>| offset.map_or_else(|| "nowhere".to_owned(), |offset| offset.to_string());
    let (here, there) = (shown(plan.source_offset), shown(plan.target_offset));
    Line {
        flow: &plan.flow,
        what: format!("{} in {}-{}", plan.group, plan.target_topic, plan.partition),
        change: format!("from {} to {} on {}", shown(plan.from), plan.to, plan.cluster),
        why: format!("it stands at {here} on the source, at {there} on the target: {}", plan.reason),
    }
}

/// Field names are stable: scripts read them.
fn as_json(plan: &Plan) -> Value {
    json!({
        "is_empty": plan.is_empty(),
        "topics": plan.topics.iter().map(topic_json).collect::<Vec<_>>(),
        "configs": plan.configs.iter().map(config_json).collect::<Vec<_>>(),
        "partitions": plan.partitions.iter().map(partition_json).collect::<Vec<_>>(),
        "acls": plan.acls.iter().map(acl_json).collect::<Vec<_>>(),
        "groups": plan.groups.iter().map(group_json).collect::<Vec<_>>(),
        "notes": plan.notes,
    })
}

fn topic_json(plan: &TopicPlan) -> Value {
    let (step, from, to) = match &plan.step {
        TopicStep::Create { partitions, .. } => ("create", None, *partitions),
        TopicStep::AddPartitions { from, to } => ("add_partitions", Some(*from), *to),
        TopicStep::Await { from, to } => ("await", *from, *to),
        TopicStep::Delete { .. } => ("delete", None, 0),
        TopicStep::Refuse { .. } => ("refuse", None, 0),
        _ => ("other", None, 0),
    };
    let (factor, configs) = match &plan.step {
        TopicStep::Create { replication_factor, configs, .. } => (*replication_factor, configs.as_slice()),
        _ => (None, &[][..]),
    };
    let park_reason = match &plan.step {
        TopicStep::Refuse { reason } => Some(reason.to_string()),
        _ => None,
    };
    let due_ms = if let TopicStep::Delete { due_ms } = plan.step { Some(due_ms) } else { None };
    json!({
        "flow": plan.flow,
        "source_topic": plan.source_topic,
        "target_topic": plan.target_topic,
        "step": step,
        "due_ms": due_ms,
        "park_reason": park_reason,
        "partitions_from": from,
        "partitions_to": to,
        "replication_factor": factor,
        "configs": configs.iter().map(|(key, value)| (key.clone(), json!(value))).collect::<serde_json::Map<_, _>>(),
        "reason": plan.reason,
    })
}

fn config_json(plan: &ConfigPlan) -> Value {
    json!({
        "flow": plan.flow,
        "target_topic": plan.target_topic,
        "key": plan.step.key,
        "from": plan.step.from,
        "to": plan.step.to,
        "reason": plan.reason,
    })
}

fn partition_json(plan: &PartitionPlan) -> Value {
    let (step, reason) = match &plan.step {
        PlanStep::Begin { .. } => ("begin", None),
        PlanStep::FillHead { .. } => ("fill_head", None),
        PlanStep::Continue { .. } => ("continue", None),
        PlanStep::Resume { .. } => ("resume", None),
        PlanStep::Await { .. } => ("await", None),
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
        "offsets": plan.offsets(),
        "is_nothing": plan.is_nothing(),
    })
}

fn acl_json(plan: &AclPlan) -> Value {
    json!({
        "flow": plan.flow,
        "action": match plan.action {
            AclAction::Add => "add",
            AclAction::Remove => "remove",
            _ => "other",
        },
        "permission": plan.permission,
        "operation": plan.operation,
        "principal": plan.principal,
        "host": plan.host,
        "resource_type": plan.resource_type,
        "pattern_type": plan.pattern_type,
        "resource_name": plan.resource_name,
        "reason": plan.reason,
    })
}

fn group_json(plan: &GroupPlan) -> Value {
    json!({
        "flow": plan.flow,
        "group": plan.group,
        "source_topic": plan.source_topic,
        "target_topic": plan.target_topic,
        "partition": plan.partition,
        "cluster": plan.cluster,
        "source_offset": plan.source_offset,
        "target_offset": plan.target_offset,
        "from": plan.from,
        "to": plan.to,
        "reason": plan.reason,
    })
}
