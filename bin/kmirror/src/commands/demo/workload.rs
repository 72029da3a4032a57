//! What happens on the source meanwhile: plain and transactional records, every codec, a compacted topic, a consumer group that
//! reads along.

use std::time::Duration;

use kmirror_embedded::{Codec, EmbeddedCluster, EmbeddedError, KeyValue};
use tokio::time::{MissedTickBehavior, interval};

/// A lively application, and what it has written so far.
pub(crate) struct Workload {
    rate: u32,
    /// All records, aborted ones too.
    pub(crate) records: u64,
    /// Those in transactions that were aborted.
    pub(crate) aborted: u64,
    batches: u64,
}

impl Workload {
    pub(crate) fn new(rate: u32) -> Workload {
        Workload { rate, records: 0, aborted: 0, batches: 0 }
    }

    /// Creates its topics. Of each partition `bytes` are kept at least.
    pub(crate) fn prepare(cluster: &EmbeddedCluster, bytes: usize) -> Result<(), EmbeddedError> {
        let bytes = bytes.to_string();
        let retention = ("retention.bytes", bytes.as_str());
        cluster.create_topic(ORDERS, ORDERS_PARTITIONS as usize, &[retention])?;
        cluster.create_topic(PAYMENTS, 2, &[retention])?;
        cluster.create_topic(PRICES, 1, &[retention, ("cleanup.policy", "compact,delete")])
    }

    /// Writes until something is refused.
    pub(crate) async fn run(&mut self, cluster: &EmbeddedCluster) -> EmbeddedError {
        let mut tick = interval(Duration::from_secs(1) * BATCH_RECORDS / self.rate.max(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            tick.tick().await;
            if let Err(error) = self.write(cluster) {
                return error;
            }
        }
    }

    fn write(&mut self, cluster: &EmbeddedCluster) -> Result<(), EmbeddedError> {
        let batch = self.batches;
        self.batches += 1;
        let texts: Vec<_> = (0..u64::from(BATCH_RECORDS))
            .map(|index| {
                let number = self.records + index;
                (
                    format!("key-{}", number % 97),
                    format!("{{\"number\":{number},\"amount\":{}}}", number * 7919 % 10_007),
                )
            })
            .collect();
        let records: Vec<KeyValue<'_>> =
            texts.iter().map(|(key, value)| (Some(key.as_bytes()), Some(value.as_bytes()))).collect();
        let codec = CODECS.get(batch as usize % CODECS.len()).copied().unwrap_or_default();
        let partition = |count: u64| (batch / 4 % count) as i32;
        match batch % 4 {
            0 | 2 => cluster.write(ORDERS, partition(ORDERS_PARTITIONS as u64), codec, &records)?,
            1 => {
                let commit = batch % 40 != 1;
                self.aborted += if commit { 0 } else { u64::from(BATCH_RECORDS) };
                cluster.write_transaction(PAYMENTS, partition(2), codec, &records, commit)?
            }
            _ => cluster.write(PRICES, 0, codec, &records)?,
        };
        self.records += u64::from(BATCH_RECORDS);
        if batch % 50 == 49 {
            commit(cluster)?;
        }
        // The cleaner comes by now and then.
        if batch % 400 == 399 {
            let end = cluster.log(PRICES, 0)?.end;
            cluster.clean(PRICES, 0, end - i64::from(BATCH_RECORDS) * 4)?;
        }
        Ok(())
    }
}

/// The group has read all orders but the last few.
fn commit(cluster: &EmbeddedCluster) -> Result<(), EmbeddedError> {
    for partition in 0..ORDERS_PARTITIONS {
        let end = cluster.log(ORDERS, partition)?.end;
        cluster.commit_offsets(GROUP, ORDERS, partition, (end - i64::from(BATCH_RECORDS) / 2).max(0))?;
    }
    Ok(())
}

/// Reads the orders.
pub(crate) const GROUP: &str = "warehouse";
const ORDERS_PARTITIONS: i32 = 3;
/// Plain records.
pub(crate) const ORDERS: &str = "orders";
/// Transactions, one in ten of them aborted.
pub(crate) const PAYMENTS: &str = "payments";
/// The last record of each key.
const PRICES: &str = "prices";
const CODECS: [Codec; 5] = [Codec::Lz4, Codec::Zstd, Codec::None, Codec::Gzip, Codec::Snappy];
const BATCH_RECORDS: u32 = 20;
