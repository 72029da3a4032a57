//! Reading one side of a partition, a fetch ahead of the comparison.

use std::time::Duration;

use kmirror_client::{Client, TopicPartition, clock};
use kmirror_codec::{Batch, Limits, Workspace};

use crate::ground::config::Isolation;
use crate::ground::error::Error;
use crate::ground::lineage::Lineage;
use crate::logs::fetch_state::{FetchState, Sourced};
use crate::logs::show::{Look, ShowError, Shown};

/// One log as it is read.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) client: Client,
    pub(crate) partition: TopicPartition,
    pub(crate) isolation: Isolation,
    /// How long it may show nothing where it goes on.
    pub(crate) patience: Duration,
}

/// Reads a partition from some offset up to another, batch by batch.
pub(crate) struct SideReader {
    log: Log,
    state: FetchState,
    end: i64,
    /// Where the records are, on a target whose offsets differ from the source's.
    lineage: Option<Lineage>,
    /// Records between two runs of the lineage.
    foreign_records: u64,
    /// What was read of the log, as its size counts for retention.
    bytes: u64,
}

impl SideReader {
    pub(crate) fn new(log: Log, first: i64, end: i64) -> SideReader {
        let state = FetchState::new(first, None, None, log.isolation);
        SideReader { log, state, end, lineage: None, foreign_records: 0, bytes: 0 }
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
        let mut begun = clock::now();
        while self.state.position < self.end {
            let before = self.state.position;
            let has_time = clock::now() - begun < self.log.patience;
            let fetched = match self.look().await? {
                Ok(Shown::Answer(fetched)) => fetched,
                // Below the end and yet nothing: emptied by a cleaner.
                Ok(Shown::Bare(bare_end)) => {
                    self.state.skip_bare_hole(bare_end);
                    continue;
                }
                Err(_) if has_time => continue,
                Err(end) => {
                    let reason = format!("the broker shows nothing though the log ends at {end}");
                    return Err(self.failed(before, reason));
                }
            };
            let fetched = self.state.on_fetched(fetched);
            let fetched = fetched.map_err(|fault| self.failed(before, fault.to_string()))?;
            let batches = self.batches(fetched.pieces, before)?;
            if !batches.is_empty() {
                return Ok(batches);
            }
            if self.state.position > before {
                begun = clock::now();
                continue;
            }
            // A new leader, whose high watermark is behind the old one's.
            if !has_time {
                let (shown, end) = (fetched.readable_end, self.end);
                let reason = format!("the leader shows offsets up to {shown}, and {end} was shown before");
                return Err(self.failed(before, reason));
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        Ok(Vec::new())
    }

    /// What there is at the position; the log's end where it shows nothing though it goes on.
    async fn look(&self) -> Result<Result<Shown, i64>, Error> {
        let Log { client, partition, isolation, .. } = &self.log;
        let isolation = isolation.for_client();
        let look = Look { client, partition, isolation, bytes_max: FETCH_BYTES_MAX, budget: None };
        let mut attempts = 0;
        loop {
            match look.at(self.state.position).await {
                Ok(shown) => return Ok(Ok(shown)),
                Err(ShowError::Hidden { end, .. }) => return Ok(Err(end)),
                Err(ShowError::Client(error))
                    if attempts < ATTEMPTS_MAX && error.retry() != kmirror_client::Retry::Never =>
                {
                    attempts += 1;
                    tokio::time::sleep(RETRY_INTERVAL * attempts).await;
                }
                Err(ShowError::Client(error)) => return Err(Error::cluster(client.alias(), error)),
            }
        }
    }

    fn failed(&self, offset: i64, reason: String) -> Error {
        Error::Read {
            alias: self.log.client.alias().to_owned(),
            partition: self.log.partition.to_string(),
            offset,
            reason,
        }
    }

    /// The next offset to be read, as one of the source.
    pub(crate) fn position(&self) -> i64 {
        match &self.lineage {
            Some(lineage) => lineage.source_of(self.state.position),
            None => self.state.position,
        }
    }

    fn batches(&mut self, pieces: Vec<Sourced>, first: i64) -> Result<Vec<Batch>, Error> {
        let mut batches = Vec::new();
        for piece in pieces {
            match piece {
                Sourced::Batch(batch) => {
                    // Retention deletes whole batches: of one in whose midst the log begins it has left nothing.
                    if batch.header().base_offset >= first {
                        self.bytes += batch.bytes().len() as u64;
                    }
                    batches.extend(self.moved(batch)?);
                }
                Sourced::Legacy(legacy) => {
                    let offset = legacy.last_offset();
                    let converted = legacy.convert(&Limits::default(), &mut Workspace::new());
                    batches.push(converted.map_err(|error| self.failed(offset, error.to_string()))?);
                }
                Sourced::Gap { .. } => self.bytes += CONTROL_BATCH_BYTES,
            }
        }
        Ok(batches)
    }

    /// A batch at its source offsets. A run begins with a batch, so that none lies in two.
    fn moved(&mut self, batch: Batch) -> Result<Option<Batch>, Error> {
        let Some(lineage) = &self.lineage else { return Ok(Some(batch)) };
        let base_offset = batch.header().base_offset;
        let Some(place) = lineage.place_of(base_offset) else {
            self.foreign_records += u64::try_from(batch.header().records_count).unwrap_or(0);
            return Ok(None);
        };
        batch.moved_to(place).map(Some).map_err(|error| self.failed(base_offset, error.to_string()))
    }

    /// How much of the log was read, as its size counts for retention.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Records of the target that are none of the source's: the lineage steps over them.
    pub(crate) fn foreign_records(&self) -> u64 {
        self.foreign_records
    }
}

const FETCH_BYTES_MAX: i32 = 2 << 20;
const ATTEMPTS_MAX: u32 = 5;
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// A header and the one record of a marker. On a target nothing but markers is left out.
const CONTROL_BATCH_BYTES: u64 = 78;
