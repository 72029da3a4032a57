//! Where logs begin and end.

use std::collections::HashMap;

use kmirror_client::{Client, ClientError, Isolation, ListedOffset, OffsetSpec, TopicPartition};

/// The end of a partition as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogEnds {
    /// What every in-sync replica has.
    pub(crate) high_watermark: i64,
    /// What the leader has. Behind the high watermark nothing is visible, but it is appended all the same.
    pub(crate) log_end: i64,
}

/// Reads high watermark and true log end of many partitions, in that order: equal numbers mean that the log was at rest in
/// between.
pub(crate) async fn read(
    client: &Client,
    partitions: &[TopicPartition],
) -> HashMap<TopicPartition, Result<LogEnds, String>> {
    let mut log_ends: HashMap<_, _> = client.log_end_offsets(partitions).await.into_iter().collect();
    let wanted: Vec<_> = partitions.iter().map(|partition| (partition.clone(), OffsetSpec::Latest)).collect();
    let watermarks = client.list_offsets(&wanted, Isolation::ReadUncommitted).await;
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
) -> Result<HashMap<TopicPartition, i64>, ClientError> {
    let asked: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
    let mut offsets = HashMap::new();
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
