//! Reading a log outside any fetch session, asking again where it shows nothing though it goes on.

use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{
    Client, ClientError, FetchSettings, FetchedPartition, FrameOwner, Isolation, TopicPartition,
};

use super::empty::{ANSWERS_MIN, Emptiness};
use crate::ground::budget::Budget;

/// What a log shows from some offset on.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and nearly always the large one")]
pub(crate) enum Shown {
    /// Records; or none, since nothing behind the offset may be read yet.
    Answer(FetchedPartition),
    /// No batch, up to this offset: a cleaner has removed them all.
    Bare(i64),
}

/// Why a log shows nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ShowError {
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It goes on behind the offset, and nothing proves that a cleaner was there.
    #[error(
        "{partition} of cluster {alias} shows no records at offset {offset}, though it goes on up to {end}, and {}: \
         it is asked again. Slow tiered storage answers like this",
        if *.is_compacted { "it changes meanwhile" } else { "is not compacted" }
    )]
    Hidden { alias: Arc<str>, partition: TopicPartition, offset: i64, end: i64, is_compacted: bool },
}

/// What is read of which log.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) client: &'a Client,
    pub(crate) partition: &'a TopicPartition,
    pub(crate) isolation: Isolation,
    pub(crate) bytes_max: i32,
    /// What the answers take their memory from, if they are kept.
    pub(crate) budget: Option<&'a Budget>,
}

impl Look<'_> {
    /// What there is from `offset` on, which is no further than the log goes.
    ///
    /// # Errors
    /// See [`ShowError`].
    pub(crate) async fn at(&self, offset: i64) -> Result<Shown, ShowError> {
        let fetched = self.client.fetch_once(self.partition, offset, self.bytes_max, self.isolation).await?;
        match self.is_hidden(offset, &fetched) {
            false => Ok(Shown::Answer(fetched)),
            true => self.again_at(offset).await,
        }
    }

    /// The same where an answer was empty already: only answers to requests that wait count.
    ///
    /// # Errors
    /// See [`ShowError`].
    pub(crate) async fn again_at(&self, offset: i64) -> Result<Shown, ShowError> {
        let mut emptiness = Emptiness::default();
        let (mut bare, mut end) = (None, offset);
        for _ in 0..ANSWERS_MIN {
            let fetched = self.wait_at(offset).await?;
            if !self.is_hidden(offset, &fetched) {
                return Ok(Shown::Answer(fetched));
            }
            end = fetched.readable_end(self.isolation);
            bare = emptiness.take_in(offset, &fetched, self.isolation);
        }
        let is_compacted = is_compacted(self.client, &self.partition.topic).await;
        match bare {
            Some(end) if is_compacted => Ok(Shown::Bare(end)),
            _ => Err(ShowError::Hidden {
                alias: self.client.alias().into(),
                partition: self.partition.clone(),
                offset,
                end,
                is_compacted,
            }),
        }
    }

    async fn wait_at(&self, offset: i64) -> Result<FetchedPartition, ClientError> {
        let settings = FetchSettings {
            max_wait: WAIT_MAX,
            min_bytes: 1,
            bytes_max: self.bytes_max,
            isolation: self.isolation,
        };
        let bytes_max = usize::try_from(self.bytes_max).unwrap_or(0);
        let owner = match self.budget {
            Some(budget) => Some(Box::new(budget.acquire(bytes_max).await) as Box<dyn FrameOwner>),
            None => None,
        };
        self.client.fetch_patiently(self.partition, offset, settings, owner).await
    }

    /// Whether there should be something, and is not.
    fn is_hidden(&self, offset: i64, fetched: &FetchedPartition) -> bool {
        fetched.error.is_none()
            && fetched.diverging_epoch.is_none()
            && fetched.records.is_empty()
            && offset < fetched.readable_end(self.isolation)
    }
}

/// Whether a cleaner may remove records of a topic, as it is configured now. Where nobody can tell it is taken to be none.
async fn is_compacted(client: &Client, topic: &Arc<str>) -> bool {
    let Ok(described) = client.describe_topic_configs(std::slice::from_ref(topic)).await else {
        return false;
    };
    let entries = described.into_iter().filter_map(|(_, entries)| entries.ok()).flatten();
    let policy = entries.filter(|entry| entry.name == "cleanup.policy").find_map(|entry| entry.value);
    policy.is_some_and(|policy| policy.split(',').any(|part| part.trim() == "compact"))
}

/// How long a broker holds a request back for records: those before Kafka 3.8 give a read from tiered storage as long as that, later
/// ones `remote.fetch.max.wait.ms`, 500 ms by default.
const WAIT_MAX: Duration = Duration::from_millis(500);
