//! What a topic may be called (`Topic.validate`).

use kafka_protocol::ResponseError;

/// `Topic.validate`.
pub(crate) fn check(name: &str) -> Result<(), (ResponseError, String)> {
    let is_legal = !name.is_empty()
        && name.len() <= 249
        && name != "."
        && name != ".."
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if is_legal {
        Ok(())
    } else {
        Err((ResponseError::InvalidTopicException, format!("Topic name is invalid: '{name}'")))
    }
}

/// Whether metrics call another topic alike (`Topic.hasCollision`): a dot is an underscore there.
pub(crate) fn check_collision<'a>(
    name: &str,
    mut others: impl Iterator<Item = &'a String>,
) -> Result<(), (ResponseError, String)> {
    let in_metrics = |name: &str| name.replace('.', "_");
    match others.find(|other| in_metrics(other) == in_metrics(name)) {
        None => Ok(()),
        Some(other) => Err((
            ResponseError::InvalidTopicException,
            format!("Topic '{name}' collides with existing topic: {other}"),
        )),
    }
}
