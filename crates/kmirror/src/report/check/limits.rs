//! What the configurations of both clusters say about a topic that is to be copied. Pure.

use std::collections::BTreeMap;

use kmirror_client::ConfigEntry;

use super::finding::{Finding, FindingKind, Severity};

/// Values of configurations by their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(BTreeMap<String, String>);

impl Values {
    pub(super) fn new(entries: &[ConfigEntry]) -> Values {
        let values = entries.iter().filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?)));
        Values(values.collect())
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.0.get(name)?.parse().ok()
    }
}

/// A topic on both sides.
#[derive(Clone, Copy, Debug)]
pub(super) struct TopicFacts<'a> {
    pub(super) target: &'a str,
    pub(super) target_topic: &'a str,
    /// The largest batch that the source takes, in bytes.
    pub(super) source_batch_bytes_max: Option<i64>,
    /// The largest that the target takes, or will.
    pub(super) target_batch_bytes_max: Option<i64>,
    /// How many replicas the target's has, or will have.
    pub(super) replicas: Option<i64>,
    pub(super) min_insync_replicas: Option<i64>,
    /// The source's partitions, and those of the target if it is there.
    pub(super) partitions: (i32, Option<i32>),
    pub(super) creates_topics: bool,
}

/// What is wrong with a topic.
pub(super) fn judge(facts: &TopicFacts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |severity, problem: String, advice: &str| {
        findings.push(Finding {
            severity,
            kind: FindingKind::Configuration,
            cluster: facts.target.to_owned(),
            subject: format!("topic {}", facts.target_topic),
            problem,
            advice: advice.to_owned(),
            command: None,
        })
    };
    if let (Some(source), Some(target)) = (facts.source_batch_bytes_max, facts.target_batch_bytes_max)
        && source > target
    {
        found(
            Severity::Warning,
            format!(
                "the source takes batches of {source} bytes, the target of {target}: a record that is larger parks its partition as TooLarge"
            ),
            "raise max.message.bytes of the target topic, or message.max.bytes of the target's brokers",
        );
    }
    if let Some(replicas) = facts.replicas
        && let Some(min) = facts.min_insync_replicas.filter(|min| *min > replicas)
    {
        found(
            Severity::Error,
            format!(
                "min.insync.replicas is {min}, and there are {replicas} replicas: every append is refused"
            ),
            "lower min.insync.replicas on the target, or give the topic more replicas",
        );
    }
    match facts.partitions {
        (source, Some(target)) if target < source && !facts.creates_topics => found(
            Severity::Error,
            format!("the source has {source} partitions, the target {target}, and create_topics is false"),
            "add partitions to the target topic",
        ),
        (source, Some(target)) if target > source => found(
            Severity::Warning,
            format!(
                "the source has {source} partitions, the target {target}: producers that move there put keys elsewhere"
            ),
            "add partitions to the source topic, if keys matter",
        ),
        (_, None) if !facts.creates_topics => found(
            Severity::Warning,
            "it is not there, and create_topics is false: the flow waits for somebody to create it"
                .to_owned(),
            "create it with the source's partitions",
        ),
        _ => {}
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_seen_and_nothing_else() {
        let fine = TopicFacts {
            target: "west",
            target_topic: "orders",
            source_batch_bytes_max: Some(1_000),
            target_batch_bytes_max: Some(1_000),
            replicas: Some(2),
            min_insync_replicas: Some(2),
            partitions: (3, Some(3)),
            creates_topics: true,
        };
        let absent = TopicFacts { partitions: (3, None), ..fine };
        let table = [
            (fine, None),
            (absent, None),
            (TopicFacts { source_batch_bytes_max: None, ..fine }, None),
            (TopicFacts { target_batch_bytes_max: Some(999), ..fine }, Some("the target of 999")),
            (TopicFacts { min_insync_replicas: Some(3), ..fine }, Some("every append is refused")),
            (TopicFacts { partitions: (3, Some(2)), ..fine }, None),
            (
                TopicFacts { partitions: (3, Some(2)), creates_topics: false, ..fine },
                Some("create_topics is false"),
            ),
            (TopicFacts { creates_topics: false, ..absent }, Some("waits for somebody to create it")),
            (TopicFacts { partitions: (3, Some(4)), ..fine }, Some("put keys elsewhere")),
        ];
        for (facts, expected) in table {
            let findings = judge(&facts);
            match expected {
                None => assert_eq!(findings, [], "{facts:?}"),
                Some(words) => {
                    assert!(findings.len() == 1 && findings[0].problem.contains(words), "{findings:?}")
                }
            }
        }
    }
}
