//! Reading short ranges of a log outside any fetch session.

use kmirror_client::{Client, ClientError, TopicPartition};
use kmirror_codec::{Batch, Entry, Limits, Workspace, split};

use crate::ground::config::Isolation;
use crate::ground::failure::TakeOverFailure;
use crate::ground::park::{ParkReason, Parked};
use crate::logs::fetch_state::{FetchFault, FetchState, Fetched, Sourced};
use crate::logs::owned_record::{OwnedRecord, records_of};
use crate::logs::show::{Look, ShowError, Shown};

/// All batches of the target that have offsets in `[first, end)`, as they lie in the log: no isolation, nothing left out.
pub(crate) async fn batches(
    client: &Client,
    partition: &TopicPartition,
    first: i64,
    end: i64,
    mut each: impl FnMut(Batch) -> Result<(), Parked>,
) -> Result<(), TakeOverFailure> {
    let isolation = kmirror_client::Isolation::ReadUncommitted;
    let look = Look { client, partition, isolation, bytes_max: FETCH_BYTES_MAX, budget: None };
    let mut position = first;
    while position < end {
        let fetched = match look.at(position).await.map_err(|error| unshown("read the target", &error))? {
            Shown::Answer(fetched) => fetched,
            // Offsets that the target's cleaner emptied.
            Shown::Bare(bare_end) => {
                position = bare_end;
                continue;
            }
        };
        let before = position;
        let readable_end = fetched.readable_end(isolation);
        for entry in split(fetched.records, position) {
            match entry.map_err(|error| unreadable(position, &error))? {
                // Appended since `end` was read; a cleaner has removed what was in between. A sequence from there and an offset from
                // here would double a record.
                Entry::Batch(batch) if batch.header().base_offset >= end => return Ok(()),
                Entry::Batch(batch) => {
                    position = batch.header().next_offset();
                    each(batch).map_err(TakeOverFailure::Park)?;
                }
                Entry::Legacy(_) => {
                    return Err(TakeOverFailure::Park(Parked::new(
                        ParkReason::TargetDiverged,
                        format!(
                            "the target's log holds a message of an old format at offset {position}: kmirror wrote none"
                        ),
                    )));
                }
            }
            if position >= end {
                return Ok(());
            }
        }
        if position == before {
            return Err(TakeOverFailure::Again(format!(
                "the target's leader shows offsets up to {readable_end}, and {end} was shown before"
            )));
        }
    }
    Ok(())
}

/// What the source holds in `[first, end)` under the flow's isolation.
#[derive(Debug, Default)]
pub(crate) struct SourceRange {
    /// Batches with records to copy.
    pub(crate) pieces: Vec<Sourced>,
    /// Some of what follows on the source, where somebody asked for it ([`source_after`]).
    pub(crate) ahead: Vec<Sourced>,
    /// The leader epoch of the batch that holds the last offset before `end`. Where a cleaner has removed that one it is not known:
    /// the epoch of a batch before it may end before `end`, and a broker would take a fetch at `end` for one of a lost history.
    pub(crate) last_epoch: Option<i32>,
}

/// Reads a range of the source, all of it. `end` is no further than the source was seen to go.
pub(crate) async fn source_range(
    client: &Client,
    partition: &TopicPartition,
    isolation: Isolation,
    first: i64,
    end: i64,
) -> Result<SourceRange, TakeOverFailure> {
    let mut reader = RangeReader::new(client, partition, isolation, first);
    let (mut range, mut reaches_end) = (SourceRange::default(), false);
    while reader.position() < end {
        let fetched = reader.next_before(end).await?;
        let begun = fetched.epochs.iter().rfind(|epoch| epoch.start_offset < end);
        range.last_epoch = begun.map(|begun| begun.epoch).or(range.last_epoch);
        reaches_end |= fetched.pieces.iter().any(|piece| piece.reaches(end));
        // A batch behind the range may be damaged, or of records that are none of the comparison's business.
        let is_behind =
            |piece: &Sourced| matches!(piece, Sourced::Batch(batch) if batch.header().base_offset >= end);
        range.pieces.extend(fetched.pieces.into_iter().filter(|piece| !is_behind(piece)));
    }
    range.last_epoch = range.last_epoch.filter(|_| reaches_end);
    Ok(range)
}

/// What the source holds from `first` on, as much as one answer shows; `end` is no further than the source was seen to go.
pub(crate) async fn source_after(
    client: &Client,
    partition: &TopicPartition,
    isolation: Isolation,
    first: i64,
    end: i64,
) -> Result<Vec<Sourced>, TakeOverFailure> {
    let mut reader = RangeReader::new(client, partition, isolation, first);
    while reader.position() < end {
        let fetched = reader.next_before(end).await?;
        if fetched.pieces.iter().any(|piece| !matches!(piece, Sourced::Gap { .. })) {
            return Ok(fetched.pieces);
        }
    }
    Ok(Vec::new())
}

/// Reads a log from some offset on, answer by answer.
pub(crate) struct RangeReader<'a> {
    client: &'a Client,
    partition: &'a TopicPartition,
    isolation: Isolation,
    state: FetchState,
}

impl<'a> RangeReader<'a> {
    pub(crate) fn new(
        client: &'a Client,
        partition: &'a TopicPartition,
        isolation: Isolation,
        first: i64,
    ) -> RangeReader<'a> {
        RangeReader { client, partition, isolation, state: FetchState::new(first, None, None, isolation) }
    }

    /// The offset after the last one that was read.
    pub(crate) fn position(&self) -> i64 {
        self.state.position
    }

    /// What comes next, which is more than nothing: the log was seen to go on up to `end`.
    pub(crate) async fn next_before(&mut self, end: i64) -> Result<Fetched, TakeOverFailure> {
        let before = self.state.position;
        let (client, partition, isolation) = (self.client, self.partition, self.isolation.for_client());
        let look = Look { client, partition, isolation, bytes_max: FETCH_BYTES_MAX, budget: None };
        let shown = look.at(before).await;
        let fetched = match shown.map_err(|error| unshown(&format!("read {}", self.log()), &error))? {
            Shown::Answer(fetched) => fetched,
            Shown::Bare(readable_end) => {
                self.state.skip_bare_hole(readable_end);
                return Ok(Fetched { readable_end, at_end: true, ..Fetched::default() });
            }
        };
        let fetched = self.state.on_fetched(fetched).map_err(|fault| match fault {
            FetchFault::Park(parked) => TakeOverFailure::Park(parked),
            FetchFault::LeaderUnknown(cause) | FetchFault::Passing(cause) => TakeOverFailure::Again(cause),
            FetchFault::ReadFrom(_) => TakeOverFailure::Again(fault.to_string()),
            FetchFault::OutOfRange | FetchFault::Recreated => {
                TakeOverFailure::Again(format!("{} does not hold offset {before} any more", self.log()))
            }
        })?;
        if self.state.position > before {
            return Ok(fetched);
        }
        // A leader that has just begun may not know yet how far its replicas are, nor which transactions have ended.
        Err(TakeOverFailure::Again(format!(
            "the leader of {} shows offsets up to {}, and {end} was shown before",
            self.log(),
            fetched.readable_end
        )))
    }

    fn log(&self) -> String {
        format!("{} of cluster {}", self.partition, self.client.alias())
    }
}

/// The records of these pieces in `[from, to)`.
pub(crate) fn decoded(pieces: Vec<Sourced>, [from, to]: [i64; 2]) -> Result<Vec<OwnedRecord>, Parked> {
    let corrupt = |error| corrupt(from, &error);
    let mut workspace = Workspace::default();
    let mut records = Vec::new();
    for piece in pieces {
        let batch = match piece {
            Sourced::Batch(batch) => batch,
            Sourced::Legacy(legacy) => legacy.convert(&Limits::default(), &mut workspace).map_err(corrupt)?,
            Sourced::Gap { .. } => continue,
        };
        records.extend(records_of(&batch, from, to, &mut workspace).map_err(corrupt)?);
    }
    Ok(records)
}

pub(crate) fn corrupt(from: i64, error: &kmirror_codec::BatchError) -> Parked {
    Parked::new(ParkReason::CorruptBatch, format!("a batch near offset {from} cannot be read: {error}"))
}

/// Judges a request of a take-over that failed as a whole.
pub(crate) fn failure(what: &str, error: &ClientError) -> TakeOverFailure {
    if error.is_authorization() {
        return TakeOverFailure::Park(Parked::new(
            ParkReason::Unauthorized,
            format!("kmirror may not {what}: {error}; it needs READ and DESCRIBE on the topic"),
        ));
    }
    TakeOverFailure::Again(format!("could not {what}: {error}"))
}

/// Judges a look at a log that showed nothing.
fn unshown(what: &str, error: &ShowError) -> TakeOverFailure {
    match error {
        ShowError::Client(error) => failure(what, error),
        ShowError::Hidden { .. } => TakeOverFailure::Again(error.to_string()),
    }
}

fn unreadable(position: i64, error: &kmirror_codec::BatchError) -> TakeOverFailure {
    TakeOverFailure::Park(Parked::new(
        ParkReason::CorruptBatch,
        format!("the target's log at or after offset {position} cannot be read: {error}"),
    ))
}

const FETCH_BYTES_MAX: i32 = 1 << 20;
