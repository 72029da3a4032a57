//! The task that lets access control lists follow, beside a flow.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{AclEntry, AclResults, Client, ClientError, KafkaError, Moment};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::added::Added;
use super::changes::{self, Addition, Changes, Removal};
use super::guard::Held;
use super::judge::{self, AclRules, CopiedTopics, Judgement, KeptBack, Lists};
use super::record::{Record, Records, State};
use super::views::{self, NotCopied};
use crate::follow::patience::Patience;
use crate::follow::rounds::Rounds;
use crate::ground::context::{FlowContext, Terms};
use crate::ground::shared::FlowShared;
use crate::logs::records;

/// Compares the lists of both clusters now and then, and changes the target's.
pub(crate) struct AclFollower {
    source: Client,
    target: Client,
    shared: Arc<FlowShared>,
    terms: watch::Receiver<Terms>,
    rules: AclRules,
    interval: Duration,
    added: Added,
    patience: Patience<AclEntry>,
    /// What the target was asked for without an answer.
    unanswered: BTreeSet<AclEntry>,
    /// What is kept back, which was told.
    kept_back: BTreeSet<KeptBack>,
    /// What may be somebody else's, which was told.
    doubtful: BTreeSet<AclEntry>,
    /// Why nothing is removed, which was told.
    held: Option<Held>,
    /// Why nothing follows, which was told.
    told: Option<NotCopied>,
}

/// What became of an entry that the target was asked to add or to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Refused,
    /// It may be done, or be done yet.
    Unanswered,
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
            patience: Patience::default(),
            unanswered: BTreeSet::new(),
            kept_back: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            held: None,
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
        let partitions = self.shared.owned(&self.source.metadata(), &self.target.metadata()).into_iter();
        partitions.map(|partition| (partition.source_topic, partition.target_topic)).collect()
    }

    async fn follow(&mut self, topics: &CopiedTopics) -> Result<(), NotCopied> {
        self.rules.select(&self.terms.borrow().selected.groups);
        let views = views::read(&self.source, &self.target).await?;
        let records = known(&self.rules, &mut self.added, &self.source).await?;
        let mut there: BTreeSet<AclEntry> = views.target.iter().cloned().collect();
        self.patience.seen(|entry| there.contains(entry));
        let records = self.confirmed(records, &there).await?;
        let (source, target) = (&views.source, &views.target);
        let lists = Lists { topics, source, target, records: &records, now_ms: records::now_ms() };
        let judged = judge::judge(&self.rules, lists, &|entry| self.patience.is_refused(entry));
        self.tell_judged(&judged);
        let now = Moment::now();
        // What was added a moment ago is not forgotten because the broker that was asked has not learned of it yet.
        let is_known = |(entry, record): &(AclEntry, Option<Record>)| {
            record.is_some() || !self.patience.is_unseen(entry, now)
        };
        self.record(judged.records.into_iter().filter(is_known).collect()).await?;
        let changes = Changes::of(judged.steps);
        there.extend(self.add(changes.denies, &records).await?);
        let (ready, waiting) = changes::ready(changes.allows, &there);
        for allow in waiting {
            debug!(entry = %allow.entry, "this waits for what denies some of it");
        }
        self.add(ready, &records).await?;
        let staying = self.remove(changes.removed_allows).await?;
        self.remove(changes::unneeded(changes.removed_denies, &staying)).await?;
        Ok(())
    }

    /// What this process has asked the target for, without an answer, and is there now, is what it has added.
    async fn confirmed(
        &mut self,
        mut records: Records,
        there: &BTreeSet<AclEntry>,
    ) -> Result<Records, NotCopied> {
        let unanswered = std::mem::take(&mut self.unanswered);
        let mut confirmed = Vec::new();
        for entry in unanswered.into_iter().filter(|entry| there.contains(entry)) {
            if let Some(record) = records.get_mut(&entry).filter(|record| record.state == State::Asked) {
                record.state = State::Added;
                confirmed.push((entry, Some(record.clone())));
            }
        }
        self.record(confirmed).await?;
        Ok(records)
    }

    async fn record(&mut self, changes: Vec<(AclEntry, Option<Record>)>) -> Result<(), NotCopied> {
        self.added.write(changes).await.map_err(NotCopied::failed)
    }

    /// Adds entries; the ones that are there now.
    async fn add(
        &mut self,
        mut additions: Vec<Addition>,
        records: &Records,
    ) -> Result<Vec<AclEntry>, NotCopied> {
        let (mut there, now) = (Vec::new(), Moment::now());
        // What limits others is added whoever takes it back: they are there, or may be.
        additions.retain(|Addition { entry, is_limit, .. }| {
            self.patience.may_ask(entry, now) && (*is_limit || self.patience.may_return(entry, now))
        });
        for additions in additions.chunks(ENTRIES_PER_REQUEST) {
            there.extend(self.add_some(additions, records).await?);
        }
        Ok(there)
    }

    async fn add_some(
        &mut self,
        additions: &[Addition],
        records: &Records,
    ) -> Result<Vec<AclEntry>, NotCopied> {
        let removes = self.rules.removes();
        let is_known = |entry: &AclEntry| records.get(entry).is_some_and(|record| record.state.is_ours());
        let is_new = |addition: &&Addition| removes && !is_known(&addition.entry);
        let new = || additions.iter().filter(is_new);
        // Recorded before they are there: what was added and is not known would never be removed.
        let asked = |new: &Addition| (new.entry.clone(), Some(Record::new(new.of.clone(), State::Asked)));
        self.record(new().map(asked).collect()).await?;
        let entries: Vec<_> = additions.iter().map(|addition| addition.entry.clone()).collect();
        let created = self.target.create_acls(&entries).await;
        let outcomes = match self.outcomes(&entries, created) {
            Ok(outcomes) => outcomes,
            Err(reason) => {
                if matches!(reason, NotCopied::Failed(_)) {
                    self.unanswered.extend(new().map(|new| new.entry.clone()));
                } else {
                    // Whoever adds them now is somebody else.
                    self.record(new().map(|new| (new.entry.clone(), None)).collect()).await?;
                }
                return Err(reason);
            }
        };
        let done = additions.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Done);
        done.for_each(|(addition, _)| self.tell_added(addition));
        let mut known = Vec::new();
        for (addition, outcome) in additions.iter().zip(&outcomes).filter(|(addition, _)| is_new(addition)) {
            let Addition { entry, of, .. } = addition;
            match outcome {
                Outcome::Done => known.push((entry.clone(), Some(Record::new(of.clone(), State::Added)))),
                Outcome::Refused => known.push((entry.clone(), None)),
                Outcome::Unanswered => drop(self.unanswered.insert(entry.clone())),
            }
        }
        self.record(known).await?;
        let done = entries.into_iter().zip(outcomes).filter(|(_, outcome)| *outcome == Outcome::Done);
        Ok(done.map(|(entry, _)| entry).collect())
    }

    /// Removes entries; the ones that are there still.
    async fn remove(&mut self, mut removals: Vec<Removal>) -> Result<Vec<AclEntry>, NotCopied> {
        let now = Moment::now();
        let waiting = removals.extract_if(.., |removal| !self.patience.may_ask(&removal.entry, now));
        let mut staying: Vec<_> = waiting.map(|removal| removal.entry).collect();
        for removals in removals.chunks(ENTRIES_PER_REQUEST) {
            let entries: Vec<_> = removals.iter().map(|removal| removal.entry.clone()).collect();
            let deleted = self.target.delete_acls(&entries).await;
            let outcomes = self.outcomes(&entries, deleted)?;
            let at_ms = records::now_ms();
            let mut known = Vec::new();
            for (removal, outcome) in removals.iter().zip(outcomes) {
                let Removal { entry, of, is_gone } = removal.clone();
                let record = is_gone.then(|| Record::new(of, State::Removed { at_ms }));
                match outcome {
                    Outcome::Done => {
                        info!(%entry, "access control entry removed on the target");
                        self.patience.forget(&entry);
                        known.push((entry, record));
                    }
                    Outcome::Refused | Outcome::Unanswered => staying.push(entry),
                }
            }
            self.record(known).await?;
        }
        Ok(staying)
    }

    /// What became of some entries. One that the target does not take does not keep the others from being changed.
    fn outcomes(
        &mut self,
        entries: &[AclEntry],
        results: Result<AclResults, ClientError>,
    ) -> Result<Vec<Outcome>, NotCopied> {
        let target = self.target.clone();
        let failed = |error| NotCopied::of(&target, ALTER, error);
        let mut outcomes = Vec::new();
        for (entry, result) in entries.iter().zip(results.map_err(failed)?) {
            match result {
                Ok(()) => outcomes.push(Outcome::Done),
                Err(error) if error.is_authorization() => return Err(failed(error)),
                Err(error) => {
                    self.refused(entry, &error);
                    outcomes.push(Outcome::of(&error));
                }
            }
        }
        Ok(outcomes)
    }

    fn refused(&mut self, entry: &AclEntry, error: &ClientError) {
        let is_told = self.patience.refused(entry, is_final(error), Moment::now());
        if !is_told {
            debug!(%entry, %error, "the target does not take this access control entry");
        } else if self.patience.is_refused(entry) {
            warn!(%entry, %error, "the target does not take this access control entry: the lists differ in it");
        } else {
            warn!(%entry, %error, "the target does not take this access control entry now: it is tried again");
        }
    }

    fn tell_added(&mut self, addition: &Addition) {
        let Addition { entry, of, .. } = addition;
        if self.patience.made(entry, Moment::now()) {
            warn!(
                %entry,
                source = %of,
                "the source has this access control entry, and somebody removes it on the target again and again: it is added again after \
                 growing pauses"
            );
        }
        info!(%entry, "access control entry added on the target");
    }

    /// Says once what is not done, and why.
    fn tell_judged(&mut self, judged: &Judgement) {
        if let Some(held) = judged.held.filter(|_| self.held.is_none()) {
            warn!(%held, "nothing is removed of the target's access control lists");
        }
        self.held = judged.held;
        for entry in judged.doubtful.iter().filter(|entry| !self.doubtful.contains(*entry)) {
            warn!(
                %entry,
                "this is gone on the source and stays on the target: kmirror was interrupted as it was about to add it, and somebody else \
                 may have added it since; remove it there if nobody needs it"
            );
        }
        self.doubtful = judged.doubtful.iter().cloned().collect();
        self.tell_kept_back(&judged.kept_back);
    }

    /// Says once what is kept back.
    fn tell_kept_back(&mut self, kept_back: &[KeptBack]) {
        for told in kept_back.iter().filter(|kept_back| !self.kept_back.contains(*kept_back)) {
            warn!(entry = %told.allow, by = %told.deny, "an access control entry of the source is kept back: the target cannot be told what limits it");
        }
        self.kept_back = kept_back.iter().cloned().collect();
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

impl Outcome {
    fn of(error: &ClientError) -> Outcome {
        match error.kafka_error() {
            Some(KafkaError::REQUEST_TIMED_OUT | KafkaError::UNKNOWN_SERVER_ERROR) | None => {
                Outcome::Unanswered
            }
            Some(_) => Outcome::Refused,
        }
    }
}

/// What was added, where it may be removed; or why nothing may be changed by what the source says.
pub(super) async fn known(
    rules: &AclRules,
    added: &mut Added,
    source: &Client,
) -> Result<Records, NotCopied> {
    if !added.are_of(source) {
        return Err(NotCopied::AnotherSource);
    }
    // What nobody will ask for need not be known.
    if rules.removes() { added.read().await.map_err(NotCopied::failed) } else { Ok(Records::new()) }
}

const ALTER: &str = "ALTER";
const ENTRIES_PER_REQUEST: usize = 500;
/// How soon after the start, and again while there is nothing to be copied yet.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// What the target says of an entry for good. Anything else may pass: the controller moved, it took too long.
fn is_final(error: &ClientError) -> bool {
    let finals = [
        KafkaError::INVALID_REQUEST,
        KafkaError::INVALID_PRINCIPAL_TYPE,
        KafkaError::POLICY_VIOLATION,
        KafkaError::SECURITY_DISABLED,
        KafkaError::UNSUPPORTED_VERSION,
    ];
    error.kafka_error().is_some_and(|error| finals.contains(&error))
}
