//! Tiny batches: on its way a batch costs as much as some kilobytes, so those that are there together are merged.
//!
//! Twice there is an occasion: in the planner, for batches of one answer of the source, and in the append state, for those that wait
//! for the target.

use kmirror_codec::{Batch, Merge};

use crate::ground::budget::Budget;
use crate::ground::item::Item;

/// A batch of this size costs about as much to be merged as to be sent by itself.
pub(crate) const TINY_BYTES_MAX: usize = 4 << 10;
/// Large enough that the bytes are what costs.
pub(crate) const MERGED_BYTES_MAX: usize = 256 << 10;

/// Appends batches to items, tiny neighbours as one.
#[derive(Debug)]
pub(crate) struct TinyBatches {
    merged_bytes_max: usize,
    /// Pays for what is merged, which holds nothing of what it was made from.
    budget: Budget,
    open: Option<Open>,
}

/// Several batches that are one already, and may be more.
#[derive(Debug)]
struct Open {
    merge: Merge,
    count: usize,
}

impl TinyBatches {
    /// Merges nothing.
    pub(crate) fn left_alone() -> TinyBatches {
        TinyBatches::merged_up_to(0, Budget::new(0))
    }

    /// Merges up to this size, and to the one that suits; nothing where it is 0.
    pub(crate) fn merged_up_to(batch_bytes_max: usize, budget: Budget) -> TinyBatches {
        TinyBatches { merged_bytes_max: batch_bytes_max.min(MERGED_BYTES_MAX), budget, open: None }
    }

    /// What pays for batches that are made here.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Appends a batch that is passed through. It may be among the items only after [`TinyBatches::close`].
    pub(crate) fn push(&mut self, batch: &Batch, items: &mut Vec<Item>) {
        let is_tiny = batch.bytes().len() <= TINY_BYTES_MAX.min(self.merged_bytes_max);
        if is_tiny && self.merge(batch, items) {
            return;
        }
        self.close(items);
        items.push(Item::Batch { batch: batch.clone(), held: None, merged: 0 });
    }

    /// Appends what was merged. Before anything else is appended, and at the end.
    pub(crate) fn close(&mut self, items: &mut Vec<Item>) {
        let Some(Open { merge, count }) = self.open.take() else { return };
        if let Some(batch) = merge.finish_in(|bytes| self.budget.charge(bytes)) {
            items.push(Item::Batch { batch, held: None, merged: count });
        }
    }

    /// Merges a batch with those before it, or with the last item.
    fn merge(&mut self, batch: &Batch, items: &mut Vec<Item>) -> bool {
        if let Some(open) = &mut self.open {
            let is_merged = open.merge.push(batch);
            if is_merged {
                open.count += 1;
            }
            return is_merged;
        }
        let Some(Item::Batch { batch: last, held: None, merged: 0 }) = items.last() else { return false };
        if last.bytes().len() > TINY_BYTES_MAX {
            return false;
        }
        let mut merge = Merge::new(self.merged_bytes_max);
        if !(merge.push(last) && merge.push(batch)) {
            return false;
        }
        items.pop();
        self.open = Some(Open { merge, count: 2 });
        true
    }
}

#[cfg(test)]
mod tests {
    use kmirror_codec::Compression;

    use super::*;
    use crate::test_support::{TestBatch, records_of};

    #[test]
    fn tiny_neighbours_are_one_and_the_others_are_left_alone() {
        let tiny = |first| TestBatch::dense(first, first + 1).build();
        let large = TestBatch::dense(3, 1_000).build();
        assert!(large.bytes().len() > TINY_BYTES_MAX);
        let packed = |first| TestBatch::dense(first, first + 1).codec(Compression::Zstd).build();
        let batches = [
            tiny(0),
            tiny(1),
            tiny(2),
            large,
            tiny(1_000),
            packed(1_001),
            packed(1_002),
            tiny(1_003),
            tiny(1_004),
        ];
        let items = merged(&batches, 1 << 20);
        assert_eq!(
            shapes(&items),
            [
                (0, 3, 3),
                (3, 1_000, 0),
                (1_000, 1_001, 0),
                (1_001, 1_002, 0),
                (1_002, 1_003, 0),
                (1_003, 1_005, 2)
            ]
        );
        let records = |batches: &[Batch]| batches.iter().flat_map(records_of).collect::<Vec<_>>();
        let Some(Item::Batch { batch, .. }) = items.first() else { panic!("a batch") };
        assert_eq!(records(std::slice::from_ref(batch)), records(&batches[..3]));
        assert!(merged(&batches, 0).iter().all(|item| matches!(item, Item::Batch { merged: 0, .. })));
    }

    #[test]
    fn what_is_full_is_followed_by_another() {
        let batches: Vec<_> = (0..10).map(|first| TestBatch::dense(first, first + 1).build()).collect();
        let items = merged(&batches, batches[0].bytes().len() * 2);
        assert!(items.len() > 2 && items.len() < 10, "{:?}", shapes(&items));
        let ends = shapes(&items).into_iter().map(|(_, end, _)| end);
        let begins = shapes(&items).into_iter().map(|(first, ..)| first);
        assert!(begins.skip(1).eq(ends.take(items.len() - 1)), "contiguous");
        for item in &items {
            assert!(item.bytes() <= batches[0].bytes().len() * 2);
        }
    }

    #[tokio::test]
    async fn what_is_merged_is_paid_for_and_what_it_was_made_from_is_not_held() {
        let budget = Budget::new(10_000);
        let (mut tiny, mut items) = (TinyBatches::merged_up_to(1 << 20, budget.clone()), Vec::new());
        let batches: Vec<_> = (0..3).map(|first| TestBatch::dense(first, first + 1).build()).collect();
        batches.iter().for_each(|batch| tiny.push(batch, &mut items));
        tiny.close(&mut items);
        assert!(batches.iter().all(|batch| batch.bytes().is_unique()));
        let all = budget.acquire(10_000);
        tokio::pin!(all);
        assert!(is_pending(&mut all).await, "the merged batch is charged");
        items.clear();
        drop(all.await);
    }

    async fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
        tokio::time::timeout(std::time::Duration::ZERO, future).await.is_err()
    }

    fn merged(batches: &[Batch], batch_bytes_max: usize) -> Vec<Item> {
        let budget = Budget::new(1 << 20);
        let (mut tiny, mut items) = (TinyBatches::merged_up_to(batch_bytes_max, budget), Vec::new());
        batches.iter().for_each(|batch| tiny.push(batch, &mut items));
        tiny.close(&mut items);
        items
    }

    fn shapes(items: &[Item]) -> Vec<(i64, i64, usize)> {
        let merged = |item: &Item| match item {
            Item::Batch { merged, .. } => *merged,
            Item::Gap { .. } => 0,
        };
        items.iter().map(|item| (item.first(), item.end(), merged(item))).collect()
    }
}
