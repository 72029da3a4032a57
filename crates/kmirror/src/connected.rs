//! Looks at the clusters of a mirror's flows. Nothing has to run, and nothing is changed but what is said to be.

use std::collections::BTreeMap;
use std::sync::Arc;

use kmirror_client::Client;

use crate::flow::clusters::{self, AcceptedCluster};
use crate::ground::config::Flow;
use crate::ground::error::Error;
use crate::ground::selection::Selected;
use crate::report::check::{self, FlowCheck};
use crate::report::groups::{self, GroupReport};
use crate::report::lag::{self, PartitionLag};
use crate::report::lineages::{self, PartitionLineage};
use crate::report::plan::Plan;
use crate::report::topics::{self, TopicReport};
use crate::report::verify::{self, VerifyOptions, VerifyProgress, VerifyReport, verify_flow};
use crate::runner::{self, Description};
use crate::state_topic;

/// The flows of a mirror with connections to their clusters.
#[derive(Debug)]
pub struct Connected<'a> {
    description: &'a Description,
    clients: BTreeMap<String, Client>,
}

impl<'a> Connected<'a> {
    pub(crate) async fn new(description: &'a Description) -> Result<Connected<'a>, Error> {
        let clients = runner::connect(&description.clusters, &description.flows, BTreeMap::new()).await?;
        Ok(Connected { description, clients })
    }

    /// Compares both clusters of every flow, record by record, and changes nothing. `progress` is counted up meanwhile.
    ///
    /// # Errors
    /// Where a cluster cannot be read, and where nothing is selected by a flow or by `options`: nothing is said of what was not
    /// looked at.
    pub async fn verify(
        &self,
        options: &VerifyOptions,
        progress: Arc<VerifyProgress>,
    ) -> Result<VerifyReport, Error> {
        let mut report = VerifyReport::default();
        for (flow, selected, source, target) in self.flows() {
            let (source, target) = (source.clone(), target.clone());
            let partitions =
                verify_flow(flow, &selected.topics, source, target, options, Arc::clone(&progress)).await?;
            report.partitions.extend(partitions);
        }
        verify::check_wanted(options, &report)?;
        Ok(report)
    }

    /// Looks at both ends of every flow. Changes nothing. `principal`: the principal to name in the suggested
    /// `kafka-acls` commands, for example `User:kmirror`.
    ///
    /// # Errors
    /// Those with which it would not start: topics that would be copied for ever among them, and a cluster that cannot be reached.
    pub async fn check(&self, principal: &str) -> Result<Vec<FlowCheck>, Error> {
        let routes = runner::routes(&self.description.flows, &self.clients);
        let terms = runner::terms(&self.description.flows, &routes, &self.clients);
        let mut checks = Vec::new();
        for ((flow, _, source, target), terms) in self.flows().zip(&terms) {
            checks.push(check::of_flow(flow, terms, source, target, principal).await?);
        }
        let source = |index: usize| routes.get(index).map(|route| &*route.source);
        let topics = |flow: &Flow| {
            let metadata = self.clients.get(&flow.source).map(Client::metadata);
            let topics = metadata.iter().flat_map(|metadata| metadata.topics.keys());
            topics.map(|topic| topic.to_string()).collect()
        };
        for (index, finding) in check::shared_commit_groups(&self.description.flows, source, topics) {
            checks.get_mut(index).into_iter().for_each(|check| check.findings.insert(0, finding.clone()));
        }
        if !checks.iter().any(|check| check.is_same_cluster) {
            runner::refuse_circles(&routes, &self.description.flows, &self.clients).await?;
        }
        Ok(checks)
    }

    /// Says what would be done if the mirror were started now. Changes nothing.
    ///
    /// # Errors
    /// Those with which it would not start: topics that would be copied for ever among them.
    pub async fn plan(&self) -> Result<Plan, Error> {
        let routes = runner::routes(&self.description.flows, &self.clients);
        runner::refuse_circles(&routes, &self.description.flows, &self.clients).await?;
        let mut plan = Plan::default();
        let terms = runner::terms(&self.description.flows, &routes, &self.clients);
        for ((flow, _, source, target), terms) in self.flows().zip(&terms) {
            plan.add(flow, terms, source, target).await?;
        }
        Ok(plan)
    }

    /// Takes the clusters that answer now for those that the aliases name, whatever was recorded of them: what a flow refuses to start with
    /// ([`Error::OtherCluster`]) it does then.
    ///
    /// # Errors
    /// A cluster that does not answer, a state topic that cannot be read or written.
    pub async fn accept_clusters(&self) -> Result<Vec<AcceptedCluster>, Error> {
        let mut accepted = Vec::new();
        for (flow, _, source, target) in self.flows() {
            let known = state_topic::store::read(target, &flow.state_topic).await?;
            accepted.extend(clusters::accept(flow, source, target, &known).await?);
        }
        Ok(accepted)
    }

    /// Reads where the source's records are on the target, for every flow and partition. Changes nothing.
    ///
    /// # Errors
    /// A cluster that does not answer, a topic that cannot be copied.
    pub async fn lineages(&self) -> Result<Vec<PartitionLineage>, Error> {
        let mut lineages = Vec::new();
        for (flow, selected, source, target) in self.flows() {
            lineages.extend(lineages::of_flow(flow, &selected.topics, source, target).await?);
        }
        Ok(lineages)
    }

    /// Says of every partition of every flow how far the target is behind, by what both clusters say now. Changes nothing.
    ///
    /// # Errors
    /// A cluster that does not answer.
    pub async fn lags(&self) -> Result<Vec<PartitionLag>, Error> {
        let routes = runner::routes(&self.description.flows, &self.clients);
        let terms = runner::terms(&self.description.flows, &routes, &self.clients);
        let mut lags = Vec::new();
        for ((flow, _, source, target), terms) in self.flows().zip(&terms) {
            lags.extend(lag::of_flow(flow, terms, source, target).await?);
        }
        Ok(lags)
    }

    /// Says of every consumer group of every flow where it stands on both sides. Changes nothing.
    ///
    /// # Errors
    /// A cluster that does not answer.
    pub async fn groups(&self) -> Result<Vec<GroupReport>, Error> {
        let mut reports = Vec::new();
        for (flow, selected, source, target) in self.flows() {
            reports.extend(groups::of_flow(flow, selected, source, target).await?);
        }
        Ok(reports)
    }

    /// Says of every topic of every flow's source whether it is copied, by which rule, and what is on the target. Changes nothing.
    ///
    /// # Errors
    /// A cluster that does not answer.
    pub async fn topics(&self) -> Result<Vec<TopicReport>, Error> {
        let routes = runner::routes(&self.description.flows, &self.clients);
        let mut reports = Vec::new();
        for (route, (flow, selected, source, target)) in self.flows().enumerate() {
            let of_flow = topics::of_flow(flow, selected, (source, target), (&routes, route)).await?;
            reports.extend(of_flow);
        }
        Ok(reports)
    }

    /// The flows with the clients of their clusters.
    fn flows(&self) -> impl Iterator<Item = (&Flow, &Selected, &Client, &Client)> {
        self.description.flows.iter().filter_map(|(flow, selected)| {
            Some((flow, selected, self.clients.get(&flow.source)?, self.clients.get(&flow.target)?))
        })
    }
}
