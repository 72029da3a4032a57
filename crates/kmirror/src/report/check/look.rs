//! Looks at both ends of a flow for what may be done there, and what would be in its way. Changes nothing.

use std::collections::BTreeMap;

use kmirror_client::{Client, TopicPartition};

use super::finding::{Finding, FindingKind, Severity};
use super::rights::Missing;
use crate::ground::config::Flow;
use crate::ground::context::Terms;
use crate::ground::error::Error;
use crate::state_topic::store::Recorded;
use crate::topics;

/// Both ends of a flow, and what was found so far.
pub(super) struct Look<'a> {
    pub(super) flow: &'a Flow,
    pub(super) terms: &'a Terms,
    pub(super) source: &'a Client,
    pub(super) target: &'a Client,
    /// To whom rights are to be given.
    pub(super) principal: &'a str,
    /// What the state topic holds.
    pub(super) recorded: &'a BTreeMap<TopicPartition, Recorded>,
    pub(super) on_source: Missing,
    pub(super) on_target: Missing,
    pub(super) findings: Vec<Finding>,
}

impl Look<'_> {
    /// Everything that is not as it should be.
    pub(super) async fn all(mut self, fills_by_transactions: bool) -> Result<Vec<Finding>, Error> {
        self.brokers().await;
        let selected = &self.terms.selected.topics;
        let (on_source, on_target) = (self.source.metadata(), self.target.metadata());
        let topics::TopicPairs { copied: pairs, refused } =
            topics::pair(self.flow, selected, &on_source, &on_target);
        for refused in refused {
            let (kind, topic) = (FindingKind::Configuration, refused.pair.source.to_string());
            let (source, problem) = (self.source.alias(), refused.parked.message);
            self.found(Severity::Error, kind, source, topic, problem, "exclude one of them");
        }
        self.unmatched_expressions();
        let of_source = |error| Error::cluster(&self.flow.source, error);
        let of_target = |error| Error::cluster(&self.flow.target, error);
        self.source_topics(&pairs).await.map_err(of_source)?;
        self.target_topics(&pairs).await.map_err(of_target)?;
        self.own_topics().await.map_err(of_target)?;
        self.clusters(fills_by_transactions).await.map_err(of_target)?;
        self.groups().await.map_err(of_target)?;
        self.commit_group().await.map_err(of_source)?;
        self.limits(&pairs).await.map_err(of_target)?;
        if !self.on_source.is_needed() && !self.on_target.is_needed() {
            self.logs().await?;
        }
        for (missing, client) in [(&self.on_source, self.source), (&self.on_target, self.target)] {
            let servers = client.config().bootstrap_servers.join(",");
            self.findings.extend(missing.findings(client.alias(), &servers, self.principal));
        }
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(self.findings)
    }

    /// Expressions that match nothing, which nobody writes on purpose, though topics may come later.
    fn unmatched_expressions(&mut self) {
        let metadata = self.source.metadata();
        let topics: Vec<&str> = metadata.topics.keys().map(|topic| &**topic).collect();
        let (terms, source) = (self.terms, self.source.alias());
        for (expression, meant) in terms.selected.topics.unmatched(&topics) {
            let advice = meant.map_or_else(
                || "compare it with the names of `kmirror topics`".to_owned(),
                |meant| format!("was `{meant}` meant?"),
            );
            let (severity, kind) = (Severity::Warning, FindingKind::Configuration);
            self.found(
                severity,
                kind,
                source,
                format!("expression {expression}"),
                "it matches no topic",
                &advice,
            );
        }
    }

    pub(super) fn found(
        &mut self,
        severity: Severity,
        kind: FindingKind,
        cluster: &str,
        subject: impl Into<String>,
        problem: impl Into<String>,
        advice: &str,
    ) {
        self.findings.push(Finding {
            severity,
            kind,
            cluster: cluster.to_owned(),
            subject: subject.into(),
            problem: problem.into(),
            advice: advice.to_owned(),
            command: None,
        });
    }

    /// Every broker of both clusters is reached by its advertised address, and speaks what kmirror needs.
    async fn brokers(&mut self) {
        for client in [self.source, self.target] {
            for (id, broker) in client.metadata().brokers.clone() {
                let subject = format!("broker {id} at {}", broker.address());
                match client.lacking_at(id).await {
                    Ok(lacking) => lacking.iter().for_each(|error| {
                        self.found(
                            Severity::Error,
                            FindingKind::Configuration,
                            client.alias(),
                            subject.clone(),
                            error.to_string(),
                            "upgrade it: kmirror takes Kafka 2.1 and later",
                        );
                    }),
                    Err(error) => self.found(
                        Severity::Error,
                        FindingKind::Reachability,
                        client.alias(),
                        subject,
                        error.to_string(),
                        "check advertised.listeners of the broker, and the way to it from here",
                    ),
                }
            }
        }
    }
}
