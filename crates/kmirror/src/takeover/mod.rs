//! Taking a partition over: at every start, and whenever what is in the target's log is not known for certain. The visible
//! tail of the target gives position, sequence and token in one read; its last records are compared with the source before
//! anything is appended. Nothing is resumed on faith.

pub(crate) mod compare;
pub(crate) mod ends;
mod read;
pub(crate) mod tail;

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use kmirror_client::{Client, OffsetSpec, TopicPartition};
use kmirror_codec::{Batch, Limits, Workspace};

use self::compare::{Comparison, OwnedRecord, compare, records_of};
use self::ends::LogEnds;
use self::read::{SourceRange, failure, source_range};
use self::tail::Tail;
use crate::append::sequence::Sequence;
use crate::append::state::AppendStart;
use crate::config::Isolation;
use crate::event::TakeOverFailure;
use crate::fetch::state::Sourced;
use crate::identity::ProducerIds;
use crate::park::{ParkReason, Parked};

/// What is to be taken over.
#[derive(Clone, Debug)]
pub(crate) struct TakeOver {
    pub(crate) source_client: Client,
    pub(crate) target_client: Client,
    pub(crate) source: TopicPartition,
    pub(crate) target: TopicPartition,
    pub(crate) ids: ProducerIds,
    pub(crate) isolation: Isolation,
    /// A token that the log is known to have refused; ours must be higher.
    pub(crate) token_refused: i32,
    /// Whether both topics are compacted: then the cleaner explains records that are missing.
    pub(crate) is_compacted: bool,
    /// Whether the target keeps the timestamps it is sent (`message.timestamp.type`).
    pub(crate) keeps_timestamps: bool,
}

/// Where a partition goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TakenOver {
    /// For the appender.
    pub(crate) append: AppendStart,
    /// The leader epoch of the last source batch before the position, if the source still holds it.
    pub(crate) last_fetched_epoch: Option<i32>,
    /// Where the source ends now, under the flow's isolation.
    pub(crate) source_end: i64,
}

#[derive(Clone, Copy, Debug)]
struct SourceBounds {
    log_start: i64,
    /// What a reader sees under the flow's isolation.
    readable_end: i64,
    high_watermark: i64,
}

impl TakeOver {
    /// Reads, compares, and says where to go on.
    pub(crate) async fn run(self) -> Result<TakenOver, TakeOverFailure> {
        let ends = self.rest().await?;
        let target_start = self.target_offset(OffsetSpec::Earliest).await?;
        let source = self.source_bounds().await?;
        let position = ends.high_watermark;
        self.check_bounds(&source, position)?;
        let found = if position == target_start {
            Found::default()
        } else {
            self.read_tail(&source, target_start, position).await?
        };
        let (next_sequence, token) = self.producers(&found, ends).await?;
        if found.next_sequence.is_none()
            && next_sequence.is_none()
            && position > 0
            && target_start == position
        {
            return Err(TakeOverFailure::Park(Parked::new(
                ParkReason::TargetDiverged,
                format!(
                    "the target's log is empty but begins at offset {position}, and nothing in it says that kmirror wrote it. \
                     Delete the target topic to have it copied again from its first record"
                ),
            )));
        }
        Ok(TakenOver {
            append: AppendStart { position, delta: 0, next_sequence, token },
            last_fetched_epoch: found.last_epoch,
            source_end: source.readable_end,
        })
    }

    /// Waits until everything appended to the target is visible. Bounded: a log that somebody keeps writing to never rests,
    /// and that will show in its tail.
    async fn rest(&self) -> Result<LogEnds, TakeOverFailure> {
        let mut waited = Duration::ZERO;
        loop {
            let mut read = ends::read(&self.target_client, std::slice::from_ref(&self.target)).await;
            let ends = read
                .remove(&self.target)
                .unwrap_or_else(|| Err("no answer".to_owned()))
                .map_err(|cause| TakeOverFailure::Again(format!("reading the target's log end: {cause}")))?;
            if ends.high_watermark == ends.log_end {
                return Ok(ends);
            }
            if waited >= REST_MAX {
                return Err(TakeOverFailure::Again(format!(
                    "the target's replicas do not catch up: high watermark {}, log end {}",
                    ends.high_watermark, ends.log_end
                )));
            }
            tokio::time::sleep(REST_INTERVAL).await;
            waited += REST_INTERVAL;
        }
    }

    async fn target_offset(&self, spec: OffsetSpec) -> Result<i64, TakeOverFailure> {
        let isolation = kmirror_client::Isolation::ReadUncommitted;
        ends::offset(&self.target_client, &self.target, spec, isolation)
            .await
            .map_err(|error| failure("describe the target", &error))
    }

    async fn source_bounds(&self) -> Result<SourceBounds, TakeOverFailure> {
        let offset = |spec, isolation| ends::offset(&self.source_client, &self.source, spec, isolation);
        let uncommitted = kmirror_client::Isolation::ReadUncommitted;
        let describe = |error| failure("describe the source", &error);
        Ok(SourceBounds {
            log_start: offset(OffsetSpec::Earliest, uncommitted).await.map_err(describe)?,
            readable_end: offset(OffsetSpec::Latest, self.isolation.for_client()).await.map_err(describe)?,
            high_watermark: offset(OffsetSpec::Latest, uncommitted).await.map_err(describe)?,
        })
    }

    fn check_bounds(&self, source: &SourceBounds, position: i64) -> Result<(), TakeOverFailure> {
        let park = |reason, message| Err(TakeOverFailure::Park(Parked::new(reason, message)));
        if source.high_watermark < position {
            return park(
                ParkReason::SourceTruncated,
                format!(
                    "the target ends at offset {position}, the source already at {}: the source lost records or was created \
                     again, or somebody else wrote to the target",
                    source.high_watermark
                ),
            );
        }
        // A compacted topic's head is a hole like any other, filled by repeats; any other leading gap is a lost head.
        if source.log_start > position && !(self.is_compacted && position == 0) {
            return park(
                ParkReason::RecordsExpired,
                format!(
                    "the source begins at offset {}, and {position} comes next on the target: offsets [{position}, {}) are gone. \
                     Filling the head of a log is not supported yet",
                    source.log_start, source.log_start
                ),
            );
        }
        Ok(())
    }

    /// Reads the target backwards in growing steps until there is a record that the source holds as well, and compares.
    async fn read_tail(
        &self,
        source: &SourceBounds,
        target_start: i64,
        position: i64,
    ) -> Result<Found, TakeOverFailure> {
        let mut step = 1;
        loop {
            let first = (position - step).max(target_start);
            let mut tail = Tail::default();
            let mut bytes = 0;
            read::batches(&self.target_client, &self.target, first, position, |batch| {
                bytes += batch.bytes().len();
                tail.add(batch, &self.ids)
                    .map_err(|error| Parked::new(ParkReason::CorruptBatch, error.to_string()))
            })
            .await?;
            if let Some(foreign) = tail.foreign {
                return Err(TakeOverFailure::Park(Parked::new(
                    ParkReason::TargetDiverged,
                    format!(
                        "the target already has records that this flow did not write: the batch at offset {} is of producer id {}. \
                         Nothing was written to it",
                        foreign.offset, foreign.producer_id
                    ),
                )));
            }
            if let Some(last_epoch) = self.compare_tail(source, &tail, first, position).await? {
                return Ok(Found { next_sequence: tail.next_sequence(), token: tail.token, last_epoch });
            }
            let nothing_left = first == target_start;
            if nothing_left && tail.data.is_empty() {
                // Markers only: they were compared, and the sequence is the producer state's to tell.
                return Ok(Found { next_sequence: None, token: tail.token, last_epoch: None });
            }
            if nothing_left || bytes > TAIL_BYTES_MAX {
                return Err(TakeOverFailure::Park(Parked::new(
                    ParkReason::TargetDiverged,
                    format!(
                        "the source holds none of the records at offsets [{first}, {position}) of the target any more, so nothing \
                         shows that they were its own"
                    ),
                )));
            }
            step = step.saturating_mul(4);
        }
    }

    /// `Some`: a record was found equal, and here is the leader epoch of the source's last batch. `None`: nothing in this
    /// part of the tail can be compared.
    async fn compare_tail(
        &self,
        source: &SourceBounds,
        tail: &Tail,
        first: i64,
        position: i64,
    ) -> Result<Option<Option<i32>>, TakeOverFailure> {
        if source.log_start == position {
            // Everything copied has expired exactly up to here. A topic created again would begin at 0.
            return Ok((!tail.data.is_empty()).then_some(None));
        }
        let from = tail.data.first().map_or(first, |batch| batch.header().base_offset).max(source.log_start);
        let range = source_range(&self.source_client, &self.source, self.isolation, from, position).await?;
        let last_epoch = range.last_epoch;
        let (is_compacted, keeps_timestamps) = (self.is_compacted, self.keeps_timestamps);
        let data = tail.data.clone();
        let comparison = tokio::task::spawn_blocking(move || {
            compare_ranges(range, &data, from, position, is_compacted, keeps_timestamps)
        })
        .await
        .map_err(|error| TakeOverFailure::Again(format!("comparing was interrupted: {error}")))?
        .map_err(TakeOverFailure::Park)?;
        Ok((comparison == Comparison::Equal).then_some(last_epoch))
    }

    /// The producer state of the target's leader: the marker token, and the data's sequence where the log shows none.
    async fn producers(
        &self,
        found: &Found,
        ends: LogEnds,
    ) -> Result<(Option<Sequence>, i32), TakeOverFailure> {
        let described = self.target_client.describe_producers(std::slice::from_ref(&self.target)).await;
        let mut next_sequence = found.next_sequence;
        let mut token = found.token.unwrap_or(0);
        if let Some((_, Ok(producers))) = described.into_iter().next() {
            for producer in producers {
                if producer.producer_id == self.ids.markers {
                    token = token.max(producer.coordinator_epoch.unwrap_or(0));
                }
                if producer.producer_id == self.ids.data && next_sequence.is_none() {
                    next_sequence = producer.last_sequence.map(|last| Sequence::after(last, 1));
                }
            }
        }
        if next_sequence != found.next_sequence && self.rest().await? != ends {
            return Err(TakeOverFailure::Again("the target's log moved while its end was read".to_owned()));
        }
        Ok((next_sequence, token_after(token, self.token_refused, random_bits())))
    }
}

/// What the tail told.
#[derive(Debug, Default)]
struct Found {
    next_sequence: Option<Sequence>,
    token: Option<i32>,
    last_epoch: Option<i32>,
}

/// A token higher than any that the log has shown, and than one that was refused. Brokers before 2.8 cannot tell the highest
/// (and some deny it): then a token that is too low is refused, and doubled. Two owners that read the same tail should not
/// choose the same, because brokers accept an equal one: so it is higher by some random number.
fn token_after(seen: i32, refused: i32, random: u64) -> i32 {
    let highest = if seen > refused { seen } else { refused.saturating_mul(2) };
    highest.saturating_add(1).saturating_add((random % TOKEN_STEP_MAX) as i32)
}

/// The standard library's seed of hash maps: different in every call, and no dependency.
pub(crate) fn random_bits() -> u64 {
    RandomState::new().hash_one(())
}

/// Compares the flow's batches with the source's, and what lies between them with the source's holes.
fn compare_ranges(
    range: SourceRange,
    data: &[Batch],
    first: i64,
    end: i64,
    is_compacted: bool,
    keeps_timestamps: bool,
) -> Result<Comparison, Parked> {
    let corrupt = |error: kmirror_codec::BatchError| {
        Parked::new(ParkReason::CorruptBatch, format!("a batch near offset {first} cannot be read: {error}"))
    };
    let mut workspace = Workspace::default();
    let mut source = Vec::new();
    for piece in range.pieces {
        let batch = match piece {
            Sourced::Batch(batch) => batch,
            Sourced::Legacy(legacy) => legacy.convert(&Limits::default(), &mut workspace).map_err(corrupt)?,
            Sourced::Gap { .. } => continue,
        };
        source.extend(records_of(&batch, first, end, &mut workspace).map_err(corrupt)?);
    }
    let mut target = Vec::new();
    for batch in data {
        target.extend(records_of(batch, first, end, &mut workspace).map_err(corrupt)?);
    }
    if !is_compacted && let Some(missing) = first_missing(&source, &target) {
        return Err(Parked::new(
            ParkReason::TargetDiverged,
            format!("the source has a record at offset {missing} where the target has none"),
        ));
    }
    compare(&source, &target, keeps_timestamps)
}

/// The first offset at which only the source has a record: both ascend.
fn first_missing(source: &[OwnedRecord], target: &[OwnedRecord]) -> Option<i64> {
    source
        .iter()
        .map(|record| record.offset)
        .find(|offset| target.binary_search_by_key(offset, |record| record.offset).is_err())
}

/// Small enough for ten million take-overs of a partition within 31 bits.
const TOKEN_STEP_MAX: u64 = 256;
const REST_INTERVAL: Duration = Duration::from_millis(10);
const REST_MAX: Duration = Duration::from_secs(20);
/// How much of a tail is read in search of a record that both sides hold.
const TAIL_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use kmirror_codec::{Entry, GapReason, split};

    use super::*;
    use crate::test_support::{TestBatch, TestRecord, damaged, legacy_message};

    #[test]
    fn the_tail_is_compared_with_what_the_source_holds_there() {
        let whole = || vec![Sourced::Batch(TestBatch::dense(0, 4).build())];
        let target = [TestBatch::dense(0, 4).producer(1, 0).build()];
        assert_eq!(ranges(whole(), &target, false), Ok(Comparison::Equal));
        // A marker where the source has one, and where it has a record.
        let parts = [TestBatch::dense(0, 2).build(), TestBatch::dense(3, 4).build()];
        let gap = Sourced::Gap { first: 2, end: 3, reason: GapReason::Control };
        let with_gap = vec![Sourced::Batch(parts[0].clone()), gap, Sourced::Batch(parts[1].clone())];
        assert_eq!(ranges(with_gap, &parts, false), Ok(Comparison::Equal));
        let parked = ranges(whole(), &parts, false).expect_err("a record is missing");
        assert_eq!(parked.reason, ParkReason::TargetDiverged);
        assert!(parked.message.contains("a record at offset 2 where the target has none"), "{parked}");
        assert_eq!(ranges(whole(), &parts, true), Ok(Comparison::Equal), "its cleaner removed it");
        assert_eq!(ranges(Vec::new(), &target, true), Ok(Comparison::Unknown));
    }

    #[test]
    fn a_token_is_higher_than_any_before() {
        for (seen, refused, expected) in [
            (0, 0, 1),
            (4, 0, 5),
            (4, 3, 5),
            (4, 4, 9),
            (0, 9, 19),
            (i32::MAX, 0, i32::MAX),
            (0, i32::MAX, i32::MAX),
        ] {
            assert_eq!(
                token_after(seen, refused, TOKEN_STEP_MAX),
                expected,
                "seen {seen}, refused {refused}"
            );
            let stepped = token_after(seen, refused, TOKEN_STEP_MAX - 1);
            assert_eq!(stepped, expected.saturating_add(TOKEN_STEP_MAX as i32 - 1));
        }
    }

    #[test]
    fn old_messages_are_compared_and_damaged_batches_park() {
        let Some(Ok(Entry::Legacy(legacy))) = split(legacy_message(2, 7, b"old"), 2).next() else {
            panic!("a message of format 1");
        };
        let same = TestBatch::of([TestRecord::new(2, "", "old").without_key().at(7)]).build();
        assert_eq!(ranges(vec![Sourced::Legacy(legacy.clone())], &[same], false), Ok(Comparison::Equal));
        let other = TestBatch::of([TestRecord::new(2, "", "new").without_key().at(7)]).build();
        assert!(ranges(vec![Sourced::Legacy(legacy)], std::slice::from_ref(&other), false).is_err());
        let parked = ranges(vec![Sourced::Batch(damaged(&other))], &[], false).expect_err("damaged");
        assert_eq!(parked.reason, ParkReason::CorruptBatch);
    }

    fn ranges(pieces: Vec<Sourced>, target: &[Batch], is_compacted: bool) -> Result<Comparison, Parked> {
        compare_ranges(SourceRange { pieces, last_epoch: None }, target, 0, 4, is_compacted, true)
    }
}
