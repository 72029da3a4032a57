//! Changes the configurations of topics.

use std::sync::Arc;

use kmirror_client::{Client, ClientError, KafkaError};

use super::config_step::ConfigStep;

/// Changes the configurations of a topic as far as the target takes them, or, with `validate_only`, only asks: what it refuses, and
/// why. One that the target does not know or accept must not keep the others from being changed.
pub(crate) async fn alter(
    target: &Client,
    topic: &Arc<str>,
    steps: &[ConfigStep],
    validate_only: bool,
) -> Vec<(ConfigStep, ClientError)> {
    match (alter_at_once(target, topic, steps, validate_only).await, steps) {
        (Ok(()), _) => return Vec::new(),
        (Err(error), [step]) => return vec![(step.clone(), error)],
        (Err(_), _) => {}
    }
    let mut refused = Vec::new();
    for step in steps {
        let altered = alter_at_once(target, topic, std::slice::from_ref(step), validate_only).await;
        refused.extend(altered.err().map(|error| (step.clone(), error)));
    }
    refused
}

async fn alter_at_once(
    target: &Client,
    topic: &Arc<str>,
    steps: &[ConfigStep],
    validate_only: bool,
) -> Result<(), ClientError> {
    let changes = steps.iter().map(ConfigStep::for_client).collect();
    let altered = target.alter_topic_configs(&[(Arc::clone(topic), changes)], validate_only).await?;
    altered.into_iter().try_for_each(|(_, altered)| altered)
}

/// Whether the value itself is refused, and would be again.
pub(crate) fn is_final(error: &ClientError) -> bool {
    matches!(
        error.kafka_error(),
        Some(KafkaError::INVALID_CONFIG | KafkaError::POLICY_VIOLATION | KafkaError::INVALID_REQUEST)
    )
}

pub(crate) const TOPICS_PER_REQUEST: usize = 500;
