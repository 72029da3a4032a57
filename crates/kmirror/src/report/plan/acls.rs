//! What a flow would do with access control lists.

use std::sync::Arc;

use kmirror_client::{AclEntry, Client};

use crate::follow::acls::{self, AclStep, Judgement, NotCopied};
use crate::ground::config::{Acls, Flow};
use crate::ground::selection::Selected;
use crate::topics::TopicPair;

/// An access control entry that would be added to the target's, or removed; all in Kafka's words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AclPlan {
    /// The name of the flow.
    pub flow: String,
    /// What would be done.
    pub action: AclAction,
    /// The entry, as logs show it.
    pub entry: String,
    /// `ALLOW` or `DENY`.
    pub permission: String,
    /// `READ`, `ALL` and others.
    pub operation: String,
    /// `User:name`.
    pub principal: String,
    /// An address, or `*`.
    pub host: String,
    /// `TOPIC`, `GROUP`, `TRANSACTIONAL_ID`.
    pub resource_type: String,
    /// `LITERAL` or `PREFIXED`.
    pub pattern_type: String,
    /// A name, a prefix, or `*`.
    pub resource_name: String,
    /// Why.
    pub reason: String,
}

/// What would be done with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AclAction {
    /// Add it.
    Add,
    /// Remove it.
    Remove,
}

/// What would be done with the access control lists of a flow.
#[derive(Default)]
pub(super) struct AclPlans {
    pub(super) plans: Vec<AclPlan>,
    /// What would not be done, and why.
    pub(super) notes: Vec<String>,
}

/// Plans the access control lists of a flow.
pub(super) async fn of_flow(
    flow: &Flow,
    selected: &Selected,
    source: &Client,
    target: &Client,
    pairs: &[&TopicPair],
) -> Result<AclPlans, NotCopied> {
    if flow.acls == Acls::None || pairs.is_empty() {
        return Ok(AclPlans::default());
    }
    let topics = pairs.iter().map(|pair| (Arc::clone(&pair.source), Arc::clone(&pair.target))).collect();
    let judged = acls::plan(flow, selected.groups.clone(), &topics, source, target).await?;
    let notes = notes(&judged);
    let plans = judged.steps.into_iter().map(|step| match step {
        AclStep::Add { entry, of, .. } if entry == of => {
            of_entry(flow, AclAction::Add, entry, "the source has it".to_owned())
        }
        AclStep::Add { entry, of, .. } => {
            of_entry(flow, AclAction::Add, entry, format!("the source has {of}"))
        }
        AclStep::Remove { entry, is_gone, .. } => {
            let why = if is_gone { "it is gone on the source" } else { "it is kept back by now" };
            of_entry(flow, AclAction::Remove, entry, format!("kmirror has added it, and {why}"))
        }
    });
    Ok(AclPlans { plans: plans.collect(), notes })
}

fn notes(judged: &Judgement) -> Vec<String> {
    let kept_back = judged.kept_back.iter().map(ToString::to_string);
    let doubtful = judged.doubtful.iter();
    let doubtful = doubtful
        .map(|entry| format!("{entry} is gone on the source, and may be somebody else's on the target"));
    kept_back.chain(doubtful).chain(judged.held.map(|held| held.to_string())).collect()
}

fn of_entry(flow: &Flow, action: AclAction, entry: AclEntry, reason: String) -> AclPlan {
    AclPlan {
        flow: flow.name(),
        action,
        entry: entry.to_string(),
        permission: entry.permission.to_string(),
        operation: entry.operation.to_string(),
        principal: entry.principal,
        host: entry.host,
        resource_type: entry.resource_type.to_string(),
        pattern_type: entry.pattern_type.to_string(),
        resource_name: entry.resource_name,
        reason,
    }
}
