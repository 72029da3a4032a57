//! The task that lets access control lists follow, beside a flow.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{AclEntry, AclResults, Client, ClientError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::added::Added;
use super::changes::{self, Changes};
use super::judge::{self, AclRules, CopiedTopics, KeptBack};
use super::views::{self, NotCopied, Views};
use crate::flow::beside::Rounds;
use crate::flow::{FlowContext, FlowShared, Terms};

/// Compares the lists of both clusters now and then, and changes the target's.
pub(crate) struct AclFollower {
    source: Client,
    target: Client,
    shared: Arc<FlowShared>,
    terms: watch::Receiver<Terms>,
    rules: AclRules,
    interval: Duration,
    added: Added,
    /// Entries that the target refused, which was told.
    refused: HashSet<AclEntry>,
    /// What is kept back, which was told.
    kept_back: HashSet<KeptBack>,
    /// Why nothing follows, which was told.
    told: Option<NotCopied>,
}

impl AclFollower {
    pub(crate) fn new(context: &FlowContext) -> AclFollower {
        let (flow, source, target) = (&context.flow, context.source.clone(), context.target.clone());
        AclFollower {
            added: Added::new(flow, &source, &target),
            terms: context.terms.clone(),
            rules: AclRules::new(flow, context.terms.borrow().selected.groups.clone()),
            interval: flow.acls_interval,
            source,
            target,
            shared: Arc::clone(&context.shared),
            refused: HashSet::new(),
            kept_back: HashSet::new(),
            told: None,
        }
    }

    /// Follows until it is stopped, and once more then. The first time as soon as something is copied.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut rounds = Rounds::new(self.interval, stop);
        rounds.soon(FIRST_LOOK);
        while rounds.next().await {
            let topics = self.copied();
            if topics.is_empty() {
                rounds.soon(FIRST_LOOK);
                continue;
            }
            match self.follow(&topics).await {
                Ok(()) => self.told = None,
                Err(reason) => self.tell(reason),
            }
        }
    }

    fn copied(&self) -> CopiedTopics {
        let partitions = self.shared.published().into_iter();
        partitions.map(|partition| (partition.source_topic, partition.target_topic)).collect()
    }

    async fn follow(&mut self, topics: &CopiedTopics) -> Result<(), NotCopied> {
        self.rules.select(&self.terms.borrow().selected.groups);
        let views = views::read(&self.source, &self.target).await?;
        let added = known(&self.rules, &mut self.added, &self.source, &views).await?;
        let gone = judge::gone(&self.rules, &views.source, &added);
        let is_refused = |entry: &AclEntry| self.refused.contains(entry);
        let judged = judge::judge(&self.rules, topics, &views.source, &views.target, &added, &is_refused);
        self.tell_kept_back(judged.kept_back);
        let changes = Changes::of(judged.steps);
        let mut there: HashSet<AclEntry> = views.target.into_iter().collect();
        there.extend(self.add(changes.denies, &added).await?);
        let (ready, waiting) = changes.allows.ready(&there);
        for entry in waiting {
            debug!(%entry, "this waits for what denies some of it");
        }
        self.add(ready, &added).await?;
        let staying = self.remove(changes.removed_allows).await?;
        self.remove(changes::unneeded(changes.removed_denies, &staying)).await?;
        let forgotten = gone.iter().filter(|entry| !self.refused.contains(*entry));
        self.added.forget(forgotten).await.map_err(NotCopied::failed)
    }

    /// Adds entries; the ones that are there now.
    async fn add(
        &mut self,
        entries: Vec<AclEntry>,
        added: &BTreeSet<AclEntry>,
    ) -> Result<Vec<AclEntry>, NotCopied> {
        // Recorded before they are there: what was added and is not known would never be removed.
        let removes = self.rules.removes();
        let is_new = |entry: &&AclEntry| removes && !added.contains(*entry);
        self.added.put(entries.iter().filter(is_new)).await.map_err(NotCopied::failed)?;
        let (mut left, mut there) = (&*entries, Vec::new());
        while !left.is_empty() {
            let (some, rest) = left.split_at(left.len().min(ENTRIES_PER_REQUEST));
            let created = self.target.create_acls(some).await;
            let done = self.done(some, created, "access control entry added on the target");
            if matches!(done, Err(NotCopied::Unauthorized { .. })) {
                // Whoever adds them now is somebody else.
                self.added.forget(left.iter().filter(is_new)).await.map_err(NotCopied::failed)?;
            }
            there.extend(done?);
            left = rest;
        }
        Ok(there)
    }

    /// Removes entries; the ones that are there still.
    async fn remove(&mut self, mut entries: Vec<AclEntry>) -> Result<Vec<AclEntry>, NotCopied> {
        let mut staying: Vec<_> = entries.extract_if(.., |entry| self.refused.contains(entry)).collect();
        for entries in entries.chunks(ENTRIES_PER_REQUEST) {
            let deleted = self.target.delete_acls(entries).await;
            let removed = self.done(entries, deleted, "access control entry removed on the target")?;
            staying.extend(entries.iter().filter(|entry| !removed.contains(entry)).cloned());
        }
        Ok(staying)
    }

    /// What became of some entries: those to which it was done. One that the target does not take does not keep the others from being
    /// changed.
    fn done(
        &mut self,
        entries: &[AclEntry],
        results: Result<AclResults, ClientError>,
        what: &str,
    ) -> Result<Vec<AclEntry>, NotCopied> {
        let failed = |error| NotCopied::of(&self.target, ALTER, error);
        let mut done = Vec::new();
        for (entry, result) in entries.iter().zip(results.map_err(failed)?) {
            match result {
                Ok(()) => {
                    info!(%entry, "{what}");
                    done.push(entry.clone());
                }
                Err(error) if error.is_authorization() => return Err(failed(error)),
                Err(error) => {
                    warn!(%entry, %error, "the target does not take this access control entry: the lists differ in it");
                    self.refused.insert(entry.clone());
                }
            }
        }
        Ok(done)
    }

    /// Says once what is kept back.
    fn tell_kept_back(&mut self, kept_back: Vec<KeptBack>) {
        for told in kept_back.iter().filter(|kept_back| !self.kept_back.contains(*kept_back)) {
            warn!(entry = %told.allow, by = %told.deny, "an access control entry of the source is kept back: the target cannot be told what limits it");
        }
        self.kept_back = kept_back.into_iter().collect();
    }

    /// Says once what lasts.
    fn tell(&mut self, reason: NotCopied) {
        match &reason {
            reason if self.told.as_ref().is_some_and(|told| told.is_as(reason)) => {
                debug!(%reason, "access control lists are not copied");
            }
            NotCopied::NoAuthorizer { .. } => info!(%reason, "access control lists are not copied"),
            reason => warn!(%reason, "access control lists are not copied"),
        }
        self.told = Some(reason);
    }
}

/// What the flow has added, where it may be removed; or why nothing may be changed by what the source says.
pub(super) async fn known(
    rules: &AclRules,
    added: &mut Added,
    source: &Client,
    views: &Views,
) -> Result<BTreeSet<AclEntry>, NotCopied> {
    if !added.are_of(source) {
        return Err(NotCopied::AnotherSource);
    }
    if !rules.removes() {
        return Ok(BTreeSet::new()); // what nobody will ask for need not be known
    }
    let known = added.read().await.map_err(NotCopied::failed)?;
    match views.source.is_empty() && !known.is_empty() {
        true => Err(NotCopied::Emptied),
        false => Ok(known.clone()),
    }
}

const ALTER: &str = "ALTER";
const ENTRIES_PER_REQUEST: usize = 500;
/// How soon after the start, and again while there is nothing to be copied yet.
const FIRST_LOOK: Duration = Duration::from_secs(1);
