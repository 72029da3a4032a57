//! A target that is not the source's copy: what is said to be equal must have been looked at, by verification and by the oracle.

use std::collections::BTreeMap;

use kmirror::{Difference, Mirror};
use kmirror_embedded::{Codec, EmbeddedCluster, Isolation, NewBatch};

use crate::logs::{COMPACTED, Content, Logs, PARTITIONS};
use crate::oracle::{Oracle, Violation, violation};
use crate::random::Random;
use crate::trace::Trace;

/// Writes one partition of the target anew, once as it is and once without a record: it must verify as equal, and then not.
pub(crate) async fn check(
    logs: &Logs,
    (source, target): (&EmbeddedCluster, &EmbeddedCluster),
    mirror: &Mirror,
    random: &mut Random,
    trace: &Trace,
) -> Result<(), Violation> {
    let partition = random.below(PARTITIONS.len() as u64) as usize;
    let (topic, number) = PARTITIONS[partition];
    let log = target.log(topic, number).unwrap();
    let records = log.records(Isolation::ReadUncommitted).unwrap();
    let mut records: BTreeMap<i64, Content> =
        records.into_iter().map(|record| (record.offset, record.into())).collect();
    let Some(dropped) = dropped(logs, partition, &records, random) else { return Ok(()) };
    rewrite(target, partition, &records, log.end);
    let differences = differences(mirror).await?;
    if !differences.is_empty() {
        let what = format!("in {topic}-{number}, written anew as it was: {differences:?}");
        return Err(violation("verify finds differences", what));
    }
    records.remove(&dropped);
    rewrite(target, partition, &records, log.end);
    let is_last = records.last_key_value().is_none_or(|(last, _)| *last < dropped);
    let found = Oracle::default().check(logs, source, target, trace);
    assert!(
        is_last || found.iter().any(|(of, _)| *of == partition),
        "the oracle misses {dropped} of {topic}-{number}"
    );
    if self::differences(mirror).await?.is_empty() {
        return Err(violation(
            "verify misses a lost record",
            format!("{topic}-{number}: {dropped} is a marker"),
        ));
    }
    Ok(())
}

/// A record that must not be missing: in a compacted topic the last of its key, unless it is a deletion, which may be cleaned.
fn dropped(
    logs: &Logs,
    partition: usize,
    records: &BTreeMap<i64, Content>,
    random: &mut Random,
) -> Option<i64> {
    let committed = &logs.written(partition).committed;
    let is_needed = |content: &Content| {
        let last = committed.values().rev().find(|other| other.key == content.key);
        partition != COMPACTED || (content.value.is_some() && last == Some(content))
    };
    let is_once = |content: &Content| records.values().filter(|other| *other == content).count() == 1;
    let needed: Vec<i64> = records
        .iter()
        .filter(|(_, content)| is_needed(content) && is_once(content))
        .map(|(offset, _)| *offset)
        .collect();
    (!needed.is_empty()).then(|| random.pick(&needed))
}

/// Writes these records at their offsets, and markers everywhere else.
fn rewrite(target: &EmbeddedCluster, partition: usize, records: &BTreeMap<i64, Content>, end: i64) {
    let (topic, number) = PARTITIONS[partition];
    target.truncate(topic, number, 0).unwrap();
    for offset in 0..end {
        let written = match records.get(&offset) {
            Some(content) => {
                let mut batch = NewBatch::new(Codec::None);
                batch.push(content.record());
                target.append(topic, number, &batch.bytes())
            }
            None => target.end_transaction(topic, number, 1, 0, false),
        };
        assert_eq!(written, Ok(offset));
    }
}

async fn differences(mirror: &Mirror) -> Result<Vec<Difference>, Violation> {
    let report = mirror.connect().await.unwrap().verify(&Default::default(), Default::default()).await;
    let report = report.map_err(|error| violation("verify", error.to_string()))?;
    assert_eq!(report.is_equal(), report.differences_count() == 0);
    Ok(report.partitions.into_iter().flat_map(|partition| partition.differences).collect())
}
