//! Where logs begin and end.

use std::collections::BTreeMap;

use kmirror_client::{Client, ClientError, Isolation, ListedOffset, OffsetSpec, TopicPartition};

/// The end of a partition as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogEnds {
    /// What every in-sync replica has.
    pub(crate) high_watermark: i64,
    /// What the leader has. Behind the high watermark nothing is visible, but it is appended all the same.
    pub(crate) log_end: i64,
}

/// Reads high watermark and true log end of many partitions, in that order: equal numbers mean that everything was replicated in between.
/// The other way round a log that grew meanwhile would look as if it were.
pub(crate) async fn read(
    client: &Client,
    partitions: &[TopicPartition],
) -> BTreeMap<TopicPartition, Result<LogEnds, String>> {
    let wanted: Vec<_> = partitions.iter().map(|partition| (partition.clone(), OffsetSpec::Latest)).collect();
    let watermarks = client.list_offsets(&wanted, Isolation::ReadUncommitted).await;
    let mut log_ends: BTreeMap<_, _> = client.log_end_offsets(partitions).await.into_iter().collect();
    watermarks
        .into_iter()
        .map(|(partition, watermark)| {
            let log_end = log_ends.remove(&partition);
            let ends = match (watermark, log_end) {
                (Ok(watermark), Some(Ok(log_end))) => match watermark.offset {
                    Some(high_watermark) => Ok(LogEnds { high_watermark, log_end }),
                    None => Err("the high watermark is not known".to_owned()),
                },
                (Err(error), _) | (_, Some(Err(error))) => Err(error.to_string()),
                (Ok(_), None) => Err("no answer".to_owned()),
            };
            (partition, ends)
        })
        .collect()
}

/// One offset of each partition that has it.
pub(crate) async fn offsets(
    client: &Client,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
    isolation: Isolation,
) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
    let asked: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
    let mut offsets = BTreeMap::new();
    for (partition, listed) in client.list_offsets(&asked, isolation).await {
        offsets.extend(listed?.offset.map(|offset| (partition, offset)));
    }
    Ok(offsets)
}

/// One offset of one partition.
pub(crate) async fn offset(
    client: &Client,
    partition: &TopicPartition,
    spec: OffsetSpec,
    isolation: Isolation,
) -> Result<i64, ClientError> {
    let answers = client.list_offsets(&[(partition.clone(), spec)], isolation).await;
    match answers.into_iter().next() {
        Some((_, Ok(ListedOffset { offset: Some(offset), .. }))) => Ok(offset),
        Some((_, Err(error))) => Err(error),
        Some((_, Ok(_))) | None => Err(ClientError::InvalidResponse {
            address: client.alias().into(),
            api: "ListOffsets",
            problem: format!("no offset for {partition}").into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kmirror_client::{ClientConfig, Topics};
    use kmirror_embedded::{ApiKey, Codec, EmbeddedCluster, Fault, FaultKind};

    use super::*;

    #[tokio::test]
    async fn a_log_that_grows_is_not_at_rest() {
        let cluster = EmbeddedCluster::builder().brokers(1).start().await.expect("a cluster");
        cluster.create_topic("orders", 1, &[]).expect("a topic");
        let write =
            || cluster.write("orders", 0, Codec::None, &[(None, Some(b"x".as_slice()))]).expect("led");
        let holds = |holds| cluster.hold_replication("orders", 0, holds).expect("a partition");
        write();
        holds(true);
        write();
        let servers = [cluster.bootstrap_servers()];
        let client = Client::connect(ClientConfig::new("west", servers)).await.expect("a client");
        client.refresh_metadata(Topics::All).await.expect("metadata");
        let slow = FaultKind::Delay(Duration::from_millis(500));
        cluster.inject(Fault::new(slow).of(ApiKey::ListOffsets));
        let partition = TopicPartition::new("orders", 0);
        let growing = async {
            tokio::time::sleep(Duration::from_millis(250)).await;
            // What was the log's end is replicated now, and the log goes on.
            holds(false);
            holds(true);
            write();
        };
        let (mut ends, ()) = tokio::join!(read(&client, std::slice::from_ref(&partition)), growing);
        let ends = ends.remove(&partition).expect("an answer").expect("no error");
        assert!(ends.high_watermark < ends.log_end, "{ends:?}");
        assert_eq!(ends.log_end, 3);
    }
}
