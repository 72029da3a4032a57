//! From what was read to what is appended: each batch passes through, is rewritten, or becomes a gap. One planner per
//! partition; it travels with the pieces to a worker where a batch must be decoded. Pure: no async, no clock.

use std::collections::VecDeque;

use kmirror_codec::{
    Batch, BatchError, GapReason, Limits, Plan, PlanContext, RewriteRequest, Rewritten, Workspace, plan,
    rewrite,
};

use crate::data::tiny::TinyBatches;
use crate::ground::budget::Budget;
use crate::ground::item::{Held, Item};
use crate::ground::park::{ParkReason, Parked};
use crate::ground::rules::TargetRules;
use crate::logs::fetch_state::Sourced;

/// Where a partition's copy stands between reading and appending, and how its target wants the batches.
#[derive(Debug)]
pub(crate) struct Planner {
    /// The offset after the last item handed on. What lies between it and the next surviving record is a cleaned hole.
    next: i64,
    target: TargetRules,
    limits: Limits,
    tiny: TinyBatches,
}

impl Planner {
    /// A planner whose first item begins at `next`.
    pub(crate) fn new(next: i64, target: TargetRules) -> Planner {
        Planner { next, target, limits: Limits::default(), tiny: TinyBatches::left_alone() }
    }

    /// Lets tiny neighbours of one answer be merged, in memory of `budget`, where the target takes batches of up to `batch_bytes_max`.
    pub(crate) fn merging(mut self, batch_bytes_max: usize, budget: Budget) -> Planner {
        self.tiny = TinyBatches::merged_up_to(batch_bytes_max, budget);
        self
    }

    /// Plans pieces up to the first that must be decoded, which stays at the front. `true`: there is such a piece.
    pub(crate) fn plan_ahead(
        &mut self,
        pieces: &mut VecDeque<Sourced>,
        items: &mut Vec<Item>,
    ) -> Result<bool, Parked> {
        let planned = self.plan_untouched(pieces, items);
        self.tiny.close(items);
        planned
    }

    fn plan_untouched(
        &mut self,
        pieces: &mut VecDeque<Sourced>,
        items: &mut Vec<Item>,
    ) -> Result<bool, Parked> {
        while let Some(piece) = pieces.front() {
            match piece {
                Sourced::Gap { first, end, reason } => self.gap(*first, *end, *reason, items),
                Sourced::Legacy(_) => return Ok(true),
                Sourced::Batch(batch) => {
                    if !self.plan_batch(batch, items).map_err(|error| self.park(error))? {
                        return Ok(true);
                    }
                }
            }
            pieces.pop_front();
        }
        Ok(false)
    }

    /// Plans the pieces, decoding where it must. For a worker: it takes as long as decompression takes. What is left in
    /// `pieces` waits until there is room for it: a cleaned hole may become many batches.
    pub(crate) fn plan_some(
        &mut self,
        pieces: &mut VecDeque<Sourced>,
        items: &mut Vec<Item>,
        workspace: &mut Workspace,
    ) -> Result<(), Parked> {
        while self.plan_ahead(pieces, items)? {
            let Some(piece) = pieces.pop_front() else { break };
            let is_done = match &piece {
                Sourced::Batch(batch) => self.rewrite(batch, items, workspace),
                Sourced::Legacy(legacy) => legacy.convert(&self.limits, workspace).and_then(|batch| {
                    Ok(self.plan_batch(&batch, items)? || self.rewrite(&batch, items, workspace)?)
                }),
                Sourced::Gap { .. } => Ok(true),
            };
            if !is_done.map_err(|error| self.park(error))? {
                pieces.push_front(piece);
                break;
            }
        }
        Ok(())
    }

    /// The hole that no surviving record follows yet, up to `end`. Called where the log has nothing more to read: the
    /// target then ends where the source ends.
    pub(crate) fn flush(&mut self, end: i64) -> Option<Item> {
        let first = self.next;
        (first < end).then(|| {
            self.next = end;
            Item::Gap { first, end, reason: GapReason::Cleaned }
        })
    }

    /// Hands a batch on as it is, where its header allows. `false`: it must be decoded.
    fn plan_batch(&mut self, batch: &Batch, items: &mut Vec<Item>) -> Result<bool, BatchError> {
        let context = PlanContext {
            position: self.next,
            batch_bytes_max: self.target.batch_bytes_max,
            timestamps: self.target.timestamps,
            holes: self.target.holes,
        };
        let header = batch.header();
        match plan(header, &context)? {
            Plan::Behind => {}
            Plan::PassThrough => {
                self.gap(self.next, header.base_offset, GapReason::Cleaned, items);
                self.next = header.next_offset();
                self.tiny.push(batch, items);
            }
            Plan::Gap(GapReason::Cleaned) => {} // an empty batch: its offsets belong to the hole that goes on
            Plan::Gap(reason) => self.gap(header.base_offset, header.next_offset(), reason, items),
            Plan::Rewrite(_) => return Ok(false),
        }
        Ok(true)
    }

    /// Rewrites a batch. `false`: only its first part, for the rest would be too much at once.
    fn rewrite(
        &mut self,
        batch: &Batch,
        items: &mut Vec<Item>,
        workspace: &mut Workspace,
    ) -> Result<bool, BatchError> {
        let request = RewriteRequest {
            start: self.next,
            batch_bytes_max: self.target.batch_bytes_max,
            timestamps: self.target.timestamps,
            holes: self.target.holes,
            limits: self.limits,
        };
        self.tiny.close(items);
        for rewritten in rewrite(batch, &request, workspace)? {
            match rewritten {
                Rewritten::Batch(rewritten) => {
                    self.next = rewritten.header().next_offset();
                    let made = self.tiny.budget().debit(rewritten.bytes().len());
                    let held = Some(Held::new(batch.bytes().clone(), made));
                    items.push(Item::Batch { batch: rewritten, held, merged: 0 });
                }
                Rewritten::Gap { first, end } => self.gap(first, end, GapReason::Cleaned, items),
                Rewritten::Rest { .. } => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Adds a gap, and before it the cleaned hole that it ends: a record that follows a control batch is no neighbour of
    /// that hole, so both take markers, in one fill.
    fn gap(&mut self, first: i64, end: i64, reason: GapReason, items: &mut Vec<Item>) {
        if first.max(end) > self.next {
            self.tiny.close(items);
        }
        if first > self.next {
            items.push(Item::Gap { first: self.next, end: first, reason: GapReason::Cleaned });
        }
        let first = first.max(self.next);
        if end > first {
            items.push(Item::Gap { first, end, reason });
        }
        self.next = self.next.max(first).max(end);
    }

    fn park(&self, error: BatchError) -> Parked {
        let (reason, advice) = match error {
            BatchError::RecordTooLarge { .. } => {
                (ParkReason::TooLarge, "; raise max.message.bytes of the target topic")
            }
            _ => (ParkReason::CorruptBatch, ""),
        };
        Parked::new(
            reason,
            format!("the source's batch at or after offset {} cannot be copied: {error}{advice}", self.next),
        )
    }
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use kmirror_codec::{Compression, HoleFill, Timestamps};

    use super::*;
    use crate::test_support::{CODECS, TestBatch, TestRecord, damaged};

    #[test]
    fn a_hole_belongs_to_the_record_after_it() {
        let sparse = TestBatch::of([TestRecord::plain(3), TestRecord::plain(5)]).covering(2, 8).build();
        let dense = TestBatch::dense(10, 12).build();
        let pieces = || VecDeque::from([Sourced::Batch(sparse.clone()), Sourced::Batch(dense.clone())]);
        let shapes = |holes| {
            let (mut planner, mut items) = (Planner::new(0, rules(holes)), Vec::new());
            planner.plan_some(&mut pieces(), &mut items, &mut Workspace::new()).expect("valid");
            items.iter().map(shape).collect::<Vec<_>>()
        };
        assert_eq!(shapes(HoleFill::Repeats), ["0..6 made", "6..10 made", "10..12"]);
        assert_eq!(
            shapes(HoleFill::Markers),
            ["0..3 Cleaned", "3..4 made", "4..5 Cleaned", "5..6 made", "6..10 Cleaned", "10..12"]
        );
    }

    #[test]
    fn a_hole_before_a_gap_takes_markers_with_it() {
        let gap = |first, end, reason| Sourced::Gap { first, end, reason };
        let mut pieces = VecDeque::from([
            gap(0, 4, GapReason::Aborted), // begins before the position
            gap(7, 8, GapReason::Control),
            Sourced::Batch(TestBatch::empty(8, 11).build()),
            gap(12, 13, GapReason::Control),
        ]);
        let (mut planner, mut items) = (Planner::new(2, rules(HoleFill::Repeats)), Vec::new());
        assert_eq!(planner.plan_ahead(&mut pieces, &mut items), Ok(false));
        items.extend(planner.flush(20));
        let shapes: Vec<_> = items.iter().map(shape).collect();
        assert_eq!(
            shapes,
            [
                "2..4 Aborted",
                "4..7 Cleaned",
                "7..8 Control",
                "8..12 Cleaned",
                "12..13 Control",
                "13..20 Cleaned"
            ]
        );
        assert!(planner.flush(20).is_none() && planner.flush(5).is_none(), "nothing is left to fill");
    }

    #[test]
    fn planning_ahead_stops_at_the_first_batch_to_decode() {
        let batches = [TestBatch::dense(0, 2), TestBatch::dense(2, 4).covering(2, 5), TestBatch::dense(5, 6)];
        let mut pieces: VecDeque<_> = batches.iter().map(|batch| Sourced::Batch(batch.build())).collect();
        let (mut planner, mut items) = (Planner::new(0, rules(HoleFill::Markers)), Vec::new());
        assert_eq!(planner.plan_ahead(&mut pieces, &mut items), Ok(true));
        assert_eq!((items.len(), pieces.len()), (1, 2));
        assert!(matches!(items.first(), Some(Item::Batch { held: None, .. })), "passed through");
    }

    #[test]
    fn what_cannot_be_copied_parks_and_what_came_before_is_kept() {
        let good = TestBatch::dense(0, 2).build();
        let sparse = TestBatch::of([TestRecord::plain(3)]).covering(2, 4);
        let large = TestBatch::of([TestRecord::new(2, "key", &"x".repeat(5_000))]);
        let table =
            [(damaged(&sparse.build()), ParkReason::CorruptBatch), (large.build(), ParkReason::TooLarge)];
        for (bad, reason) in table {
            let mut pieces = VecDeque::from([Sourced::Batch(good.clone()), Sourced::Batch(bad)]);
            let target = TargetRules { batch_bytes_max: 1_000, ..rules(HoleFill::Repeats) };
            let (mut planner, mut items) = (Planner::new(0, target), Vec::new());
            let parked = planner.plan_some(&mut pieces, &mut items, &mut Workspace::new()).expect_err("bad");
            assert_eq!(parked.reason, reason);
            assert!(parked.message.contains("at or after offset 2"), "{parked}");
            assert_eq!(items.iter().map(shape).collect::<Vec<_>>(), ["0..2"]);
        }
    }

    #[test]
    fn codecs_of_the_source_are_kept_where_a_batch_is_only_split() {
        for codec in CODECS.into_iter().filter(|codec| *codec != Compression::None) {
            let batch = TestBatch::dense(0, 400).codec(codec).build();
            let target = TargetRules { batch_bytes_max: batch.bytes().len() / 2, ..rules(HoleFill::Markers) };
            let (mut planner, mut items) = (Planner::new(0, target), Vec::new());
            let mut pieces = VecDeque::from([Sourced::Batch(batch)]);
            planner.plan_some(&mut pieces, &mut items, &mut Workspace::new()).expect("valid");
            assert!(items.len() > 1);
            for item in &items {
                let Item::Batch { batch, .. } = item else { panic!("{item:?}") };
                assert_eq!(batch.header().attributes.compression(), Ok(codec));
            }
        }
    }

    #[test]
    fn what_is_rewritten_is_paid_for() {
        let sparse = TestBatch::of([TestRecord::plain(3), TestRecord::plain(5)]).covering(2, 8).build();
        let budget = Budget::new(10_000);
        let mut planner = Planner::new(0, rules(HoleFill::Repeats)).merging(1 << 20, budget.clone());
        let (mut pieces, mut items) = (VecDeque::from([Sourced::Batch(sparse)]), Vec::new());
        planner.plan_some(&mut pieces, &mut items, &mut Workspace::new()).expect("valid");
        let made: usize = items.iter().map(Item::bytes).sum();
        assert!(made > 0);
        assert_eq!(budget.available_bytes(), 10_000 - made as i64);
        items.clear();
        assert_eq!(budget.available_bytes(), 10_000);
    }

    fn shape(item: &Item) -> String {
        let range = format!("{}..{}", item.first(), item.end());
        match item {
            Item::Batch { held: None, .. } => range,
            Item::Batch { batch, held: Some(held), .. } if batch.bytes() == held.source() => range,
            Item::Batch { .. } => format!("{range} made"),
            Item::Gap { reason, .. } => format!("{range} {reason:?}"),
        }
    }

    fn rules(holes: HoleFill) -> TargetRules {
        TargetRules { batch_bytes_max: 1 << 20, holes, timestamps: Timestamps::FromAppendTime }
    }
}
