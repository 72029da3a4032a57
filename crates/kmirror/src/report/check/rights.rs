//! What a flow must be allowed to do, and the commands that allow it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use kmirror_client::AclOperation;

use super::finding::{Finding, FindingKind, Severity};
use crate::ground::config::{Flow, Retention};
use crate::ground::policies::OnDeleted;

/// What rights are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resource {
    Topic,
    Group,
    Cluster,
    /// Transactional ids that begin so.
    TransactionalIds,
}

/// What a flow does with a topic of its source.
pub(super) const ON_SOURCE_TOPIC: &[AclOperation] =
    &[AclOperation::Read, AclOperation::Describe, AclOperation::DescribeConfigs];

/// What a flow does with a topic of its target.
pub(super) fn on_target_topic(flow: &Flow) -> Vec<AclOperation> {
    let mut operations =
        vec![AclOperation::Read, AclOperation::Write, AclOperation::Describe, AclOperation::DescribeConfigs];
    if flow.creates_topics {
        operations.push(AclOperation::Alter);
    }
    if flow.topic_configs.follow {
        operations.push(AclOperation::AlterConfigs);
    }
    let deletes =
        flow.retention == Retention::Follow || matches!(flow.policies.on_deleted, OnDeleted::Delete { .. });
    if deletes {
        operations.push(AclOperation::Delete);
    }
    operations
}

/// What a flow does with its state topic.
pub(super) const ON_STATE_TOPIC: &[AclOperation] =
    &[AclOperation::Read, AclOperation::Write, AclOperation::Describe];

/// What a flow does with a topic to which it only writes.
pub(super) const ON_RECORD_TOPIC: &[AclOperation] = &[AclOperation::Write, AclOperation::Describe];

/// Rights that are missing on one cluster, by what they are about and why they are needed.
#[derive(Debug, Default)]
pub(super) struct Missing {
    by_need: BTreeMap<Need, BTreeSet<String>>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    is_optional: bool,
    resource: Resource,
    operations: Vec<AclOperation>,
    reason: &'static str,
}

impl Missing {
    /// What of this may not be done is missing.
    pub(super) fn add(
        &mut self,
        severity: Severity,
        resource: Resource,
        name: &str,
        operations: impl IntoIterator<Item = AclOperation>,
        reason: &'static str,
    ) {
        let mut operations: Vec<_> = operations.into_iter().collect();
        // What others imply need not be said (`StandardAuthorizerData.findResult`: `IMPLIES_DESCRIBE`, `IMPLIES_DESCRIBE_CONFIGS`).
        let implies_describe =
            [AclOperation::Read, AclOperation::Write, AclOperation::Delete, AclOperation::Alter];
        if implies_describe.iter().any(|implies| operations.contains(implies)) {
            operations.retain(|operation| *operation != AclOperation::Describe);
        }
        if operations.contains(&AclOperation::AlterConfigs) {
            operations.retain(|operation| *operation != AclOperation::DescribeConfigs);
        }
        if !operations.is_empty() {
            let is_optional = severity == Severity::Warning;
            let need = Need { is_optional, resource, operations, reason };
            self.by_need.entry(need).or_default().insert(name.to_owned());
        }
    }

    /// Whether anything is missing without which a flow does not work.
    pub(super) fn is_needed(&self) -> bool {
        self.by_need.keys().any(|need| !need.is_optional)
    }

    /// A finding for each, with the command that gives the rights to this principal at these servers.
    pub(super) fn findings(&self, cluster: &str, servers: &str, principal: &str) -> Vec<Finding> {
        let findings = self.by_need.iter().flat_map(|(need, names)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let found =
                names.chunks(NAMES_PER_COMMAND).map(|names| need.finding(names, cluster, servers, principal));
            found.collect::<Vec<_>>()
        });
        findings.collect()
    }
}

impl Need {
    fn finding(&self, names: &[&str], cluster: &str, servers: &str, principal: &str) -> Finding {
        let operations: Vec<_> = self.operations.iter().map(|operation| operation.to_string()).collect();
        let kind = match self.resource {
            Resource::Topic => "topic",
            Resource::Group => "group",
            Resource::Cluster => "cluster",
            Resource::TransactionalIds => "transactional ids that begin with",
        };
        Finding {
            severity: if self.is_optional { Severity::Warning } else { Severity::Error },
            kind: FindingKind::Permission,
            cluster: cluster.to_owned(),
            subject: format!("{kind} {}", names.join(", ")),
            problem: format!("{} is not allowed: {}", operations.join(", "), self.reason),
            advice: format!("allow it to {principal}"),
            command: Some(command(servers, principal, &self.operations, self.resource, names)),
        }
    }
}

/// The line that gives rights, for a shell.
fn command(
    servers: &str,
    principal: &str,
    operations: &[AclOperation],
    resource: Resource,
    names: &[&str],
) -> String {
    let mut words = vec![
        "kafka-acls".to_owned(),
        "--bootstrap-server".to_owned(),
        quoted(servers),
        "--add".to_owned(),
        "--allow-principal".to_owned(),
        quoted(principal),
    ];
    operations.iter().for_each(|operation| words.extend(["--operation".to_owned(), word(*operation)]));
    match resource {
        Resource::Cluster => words.push("--cluster".to_owned()),
        Resource::Topic => names.iter().for_each(|name| words.extend(["--topic".to_owned(), quoted(name)])),
        Resource::Group => names.iter().for_each(|name| words.extend(["--group".to_owned(), quoted(name)])),
        Resource::TransactionalIds => {
            names.iter().for_each(|name| words.extend(["--transactional-id".to_owned(), quoted(name)]));
            words.extend(["--resource-pattern-type".to_owned(), "prefixed".to_owned()]);
        }
    }
    words.join(" ")
}

/// `DESCRIBE_CONFIGS` as the tool spells it: `DescribeConfigs`.
fn word(operation: AclOperation) -> String {
    let words = operation.to_string();
    let capitalised = words.split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_string() + &letters.as_str().to_lowercase()).unwrap_or_default()
    });
    capitalised.collect()
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-:,/@%+=".contains(letter);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// A line that can still be read.
const NAMES_PER_COMMAND: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_what_the_tool_takes() {
        let mut missing = Missing::default();
        let read = [AclOperation::Read, AclOperation::Describe, AclOperation::DescribeConfigs];
        for topic in ["orders", "payments"] {
            missing.add(Severity::Error, Resource::Topic, topic, read, "it is copied");
        }
        missing.add(Severity::Error, Resource::Group, "it's mine", [AclOperation::Read], "it follows");
        let alters = [AclOperation::Describe, AclOperation::Alter];
        missing.add(Severity::Warning, Resource::Cluster, "", alters, "it is slow without");
        let writes = [AclOperation::Write];
        missing.add(Severity::Error, Resource::TransactionalIds, "kmirror-", writes, "holes are filled");
        missing.add(Severity::Error, Resource::Topic, "nothing", [], "nothing is missing");
        let findings = missing.findings("east", "a:9092,b:9092", "User:CN=kmirror,O=Us");
        let commands: Vec<_> = findings.iter().filter_map(|finding| finding.command.as_deref()).collect();
        let begin =
            "kafka-acls --bootstrap-server a:9092,b:9092 --add --allow-principal User:CN=kmirror,O=Us ";
        let ends = [
            "--operation Read --operation DescribeConfigs --topic orders --topic payments",
            "--operation Read --group 'it'\\''s mine'",
            "--operation Write --transactional-id kmirror- --resource-pattern-type prefixed",
            "--operation Alter --cluster",
        ];
        assert_eq!(commands, ends.map(|end| format!("{begin}{end}")));
        assert_eq!(findings[0].subject, "topic orders, payments");
        assert_eq!(findings[0].problem, "READ, DESCRIBE_CONFIGS is not allowed: it is copied");
        assert_eq!(findings[3].severity, Severity::Warning);
    }

    #[test]
    fn what_is_done_with_a_topic_follows_from_the_flow() {
        let mut flow = Flow::new("east", "west");
        assert!(on_target_topic(&flow).contains(&AclOperation::Alter));
        assert!(!on_target_topic(&flow).contains(&AclOperation::Delete));
        (flow.creates_topics, flow.topic_configs.follow) = (false, false);
        flow.retention = Retention::Follow;
        let operations = on_target_topic(&flow);
        assert!(operations.contains(&AclOperation::Delete));
        assert!(
            ![AclOperation::Alter, AclOperation::AlterConfigs]
                .iter()
                .any(|operation| operations.contains(operation))
        );
    }
}
