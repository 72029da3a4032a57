//! The lists of both clusters, or why there is nothing to compare.

use kmirror_client::{AclEntry, Client, ClientError, KafkaError};

/// The lists of both clusters.
pub(crate) struct Views {
    pub(crate) source: Vec<AclEntry>,
    pub(crate) target: Vec<AclEntry>,
}

/// Why access control lists do not follow.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NotCopied {
    #[error("{alias} has no authorizer")]
    NoAuthorizer { alias: String },
    #[error("{error}; kmirror needs {right} on the cluster {alias}")]
    Unauthorized { alias: String, right: &'static str, error: ClientError },
    #[error("another cluster answers at the source's address")]
    AnotherSource,
    #[error("{0}; it is tried again")]
    Failed(String),
}

impl NotCopied {
    /// What a cluster's answer to a request that needs this right on it means.
    pub(crate) fn of(client: &Client, right: &'static str, error: ClientError) -> NotCopied {
        let alias = client.alias().to_owned();
        match error.kafka_error() {
            Some(KafkaError::SECURITY_DISABLED) => NotCopied::NoAuthorizer { alias },
            _ if error.is_authorization() => NotCopied::Unauthorized { alias, right, error },
            _ => NotCopied::Failed(error.to_string()),
        }
    }

    /// Something else than an answer about lists.
    pub(crate) fn failed(error: impl std::fmt::Display) -> NotCopied {
        NotCopied::Failed(error.to_string())
    }

    /// Whether the other is the same finding: what lasts is told once.
    pub(crate) fn is_as(&self, other: &NotCopied) -> bool {
        match (self, other) {
            (NotCopied::NoAuthorizer { alias }, NotCopied::NoAuthorizer { alias: other }) => alias == other,
            (
                NotCopied::Unauthorized { alias, right, .. },
                NotCopied::Unauthorized { alias: other, right: others, .. },
            ) => (alias, right) == (other, others),
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        }
    }
}

/// Reads the lists of both clusters.
pub(crate) async fn read(source: &Client, target: &Client) -> Result<Views, NotCopied> {
    let described = async |client: &Client| {
        client.describe_acls().await.map_err(|error| NotCopied::of(client, DESCRIBE, error))
    };
    Ok(Views { source: described(source).await?, target: described(target).await? })
}

const DESCRIBE: &str = "DESCRIBE";
