//! Reading one side of a partition, a fetch ahead of the comparison.

use kmirror_client::{Client, TopicPartition};
use kmirror_codec::{Batch, Limits, Workspace};

use crate::config::Isolation;
use crate::error::Error;
use crate::fetch::state::{FetchState, Sourced};
use crate::lineage::Lineage;

/// Reads a partition from some offset up to another, batch by batch.
pub(crate) struct SideReader {
    client: Client,
    partition: TopicPartition,
    isolation: Isolation,
    state: FetchState,
    end: i64,
    /// Where the records are, on a target whose offsets differ from the source's.
    lineage: Option<Lineage>,
    /// Records between two runs of the lineage.
    foreign_records: u64,
}

impl SideReader {
    pub(crate) fn new(
        client: Client,
        partition: TopicPartition,
        isolation: Isolation,
        first: i64,
        end: i64,
    ) -> SideReader {
        let state = FetchState::new(first, None, None, isolation);
        SideReader { client, partition, isolation, state, end, lineage: None, foreign_records: 0 }
    }

    /// Reads a target whose records are where `lineage` puts them. It is told source offsets, and the batches that it returns are
    /// at source offsets.
    pub(crate) fn moved_by(mut self, lineage: Lineage) -> SideReader {
        if !lineage.is_exact() {
            self.state.position = lineage.target_of(self.state.position);
            self.end = lineage.target_of(self.end);
            self.lineage = Some(lineage);
        }
        self
    }

    /// The next batches with records; none at all at the end.
    pub(crate) async fn next(&mut self) -> Result<Vec<Batch>, Error> {
        let mut attempts = 0;
        while self.state.position < self.end {
            let before = self.state.position;
            let fetched = self
                .client
                .fetch_once(&self.partition, before, FETCH_BYTES_MAX, self.isolation.for_client())
                .await;
            let fetched = match fetched {
                Ok(fetched) => fetched,
                Err(error) if attempts < ATTEMPTS_MAX && error.retry() != kmirror_client::Retry::Never => {
                    attempts += 1;
                    tokio::time::sleep(RETRY_INTERVAL * attempts).await;
                    continue;
                }
                Err(error) => return Err(Error::cluster(self.client.alias(), error)),
            };
            let fetched = self.state.on_fetched(fetched).map_err(|fault| Error::Read {
                alias: self.client.alias().to_owned(),
                partition: self.partition.to_string(),
                offset: before,
                reason: fault.to_string(),
            })?;
            let readable_end = fetched.readable_end;
            let batches = self.batches(fetched.pieces)?;
            if !batches.is_empty() {
                return Ok(batches);
            }
            if self.state.position > before {
                continue;
            }
            if readable_end >= self.end {
                break; // below the end and yet nothing: emptied by a cleaner
            }
            // A new leader, whose high watermark is behind the old one's.
            if attempts == ATTEMPTS_MAX {
                return Err(Error::Read {
                    alias: self.client.alias().to_owned(),
                    partition: self.partition.to_string(),
                    offset: before,
                    reason: format!(
                        "the leader shows offsets up to {readable_end}, and {} was shown before",
                        self.end
                    ),
                });
            }
            attempts += 1;
            tokio::time::sleep(RETRY_INTERVAL * attempts).await;
        }
        Ok(Vec::new())
    }

    /// The next offset to be read, as one of the source.
    pub(crate) fn position(&self) -> i64 {
        match &self.lineage {
            Some(lineage) => lineage.source_of(self.state.position),
            None => self.state.position,
        }
    }

    fn batches(&mut self, pieces: Vec<Sourced>) -> Result<Vec<Batch>, Error> {
        pieces
            .into_iter()
            .filter_map(|piece| match piece {
                Sourced::Batch(batch) => self.moved(batch).transpose(),
                Sourced::Legacy(legacy) => {
                    let offset = legacy.last_offset();
                    Some(legacy.convert(&Limits::default(), &mut Workspace::new()).map_err(|error| {
                        Error::Read {
                            alias: self.client.alias().to_owned(),
                            partition: self.partition.to_string(),
                            offset,
                            reason: error.to_string(),
                        }
                    }))
                }
                Sourced::Gap { .. } => None,
            })
            .collect()
    }

    /// A batch at its source offsets. A run begins with a batch, so that none lies in two.
    fn moved(&mut self, batch: Batch) -> Result<Option<Batch>, Error> {
        let Some(lineage) = &self.lineage else { return Ok(Some(batch)) };
        let base_offset = batch.header().base_offset;
        let Some(place) = lineage.place_of(base_offset) else {
            self.foreign_records += u64::try_from(batch.header().records_count).unwrap_or(0);
            return Ok(None);
        };
        let moved = batch.moved_to(place).map_err(|error| Error::Read {
            alias: self.client.alias().to_owned(),
            partition: self.partition.to_string(),
            offset: base_offset,
            reason: error.to_string(),
        })?;
        Ok(Some(moved))
    }

    /// Records of the target that are none of the source's: the lineage steps over them.
    pub(crate) fn foreign_records(&self) -> u64 {
        self.foreign_records
    }
}

const FETCH_BYTES_MAX: i32 = 2 << 20;
const ATTEMPTS_MAX: u32 = 5;
const RETRY_INTERVAL: std::time::Duration = std::time::Duration::from_millis(200);
