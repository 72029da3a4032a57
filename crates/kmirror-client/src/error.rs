//! What can go wrong with a cluster, and whose fault it is.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::error_codes::{KafkaError, Retry};
use crate::ids::BrokerId;
use crate::tls::TlsFailure;

/// Why a call on a cluster failed. Cheap to clone: all waiters of a lost connection share one cause.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The configuration cannot be used.
    #[error("cluster {alias}: {problem}")]
    Config {
        /// The cluster's name.
        alias: Arc<str>,
        /// What is wrong.
        problem: Arc<str>,
    },
    /// No server of the cluster answered.
    #[error("cluster {alias} cannot be reached: {attempts}")]
    Unreachable {
        /// The cluster's name.
        alias: Arc<str>,
        /// Each address that was tried, with its cause.
        attempts: Attempts,
    },
    /// The socket failed.
    #[error("{address}: {during}: {cause}")]
    Network {
        /// The broker's address.
        address: Arc<str>,
        /// What was being done.
        during: &'static str,
        /// The system's error.
        cause: Arc<io::Error>,
    },
    /// The connection could not be encrypted, or did not stay so.
    #[error("{address}: TLS: {failure}")]
    Tls {
        /// The broker's address.
        address: Arc<str>,
        /// Why.
        failure: TlsFailure,
    },
    /// The cluster does not take us for who we say we are, or has not proved that it is the cluster.
    #[error("{address}: {mechanism}: {problem}")]
    Authentication {
        /// The broker's address.
        address: Arc<str>,
        /// The SASL mechanism.
        mechanism: &'static str,
        /// What the broker says, or what it does not prove.
        problem: Arc<str>,
    },
    /// The broker closed the connection.
    #[error("{address}: connection closed during {during}{hint}")]
    Closed {
        /// The broker's address.
        address: Arc<str>,
        /// The API whose answer was awaited, or an idle time.
        during: &'static str,
        /// What that usually means, where there is something to say.
        hint: &'static str,
    },
    /// The broker kept silent for too long.
    #[error("{address}: no answer to {during} within {waited:?}")]
    Timeout {
        /// The broker's address.
        address: Arc<str>,
        /// The API whose answer was awaited, or `connect`.
        during: &'static str,
        /// How long.
        waited: Duration,
    },
    /// The request was not written: what it rests on was seen too long ago, since the process stood still or the connection did.
    #[error("{address}: {during} was not sent: what it rests on was seen too long ago")]
    Stale {
        /// The broker's address.
        address: Arc<str>,
        /// The API.
        during: &'static str,
    },
    /// A quota of the cluster (KIP-219) left no room for any answer.
    #[error(
        "{address}: a quota throttles client id {client_id}: no answer to {api} had room within {waited:?}; raise its \
         consumer_byte_rate or request_percentage"
    )]
    Throttled {
        /// The broker's address.
        address: Arc<str>,
        /// The API whose answer was awaited.
        api: &'static str,
        /// The client id that the quota is for.
        client_id: Arc<str>,
        /// How long.
        waited: Duration,
    },
    /// The broker understood the request and refused it.
    #[error("{api} {context}: {error}{}", Message(.message))]
    Broker {
        /// The code that the broker sent.
        error: KafkaError,
        /// The API.
        api: &'static str,
        /// What the error is about: a partition, a topic, a broker.
        context: Arc<str>,
        /// The broker's own words, where it had any.
        message: Option<Arc<str>>,
    },
    /// The broker sent bytes that do not follow the protocol.
    #[error("{address}: invalid response to {api}: {problem}")]
    InvalidResponse {
        /// The broker's address.
        address: Arc<str>,
        /// The API whose answer was awaited.
        api: &'static str,
        /// What is wrong with it.
        problem: Arc<str>,
    },
    /// The request cannot be expressed in the protocol: the caller's fault.
    #[error("invalid {api} request: {problem}")]
    InvalidRequest {
        /// The API.
        api: &'static str,
        /// What is wrong with it.
        problem: Arc<str>,
    },
    /// The broker is too old, or too new, for the request.
    #[error("{broker} does not support {api}{}", Detail(.detail))]
    Unsupported {
        /// The API.
        api: &'static str,
        /// The broker's address.
        broker: Arc<str>,
        /// The versions on both sides, or what of the API is missing.
        detail: Arc<str>,
    },
    /// A broker of another cluster answers: a name or an address stands for another one than before. Nothing was sent to it.
    #[error(
        "{address}: this is another cluster: its id is {found}, and that of {alias} is {expected}; nothing is read from it \
         or written to it"
    )]
    OtherCluster {
        /// The name of the cluster that is meant.
        alias: Arc<str>,
        /// The address that answered.
        address: Arc<str>,
        /// The id of the cluster that is meant.
        expected: Arc<str>,
        /// The id of the one that answered.
        found: Arc<str>,
    },
    /// The cluster's metadata has no such broker.
    #[error("cluster {alias} has no broker {broker}")]
    UnknownBroker {
        /// The cluster's name.
        alias: Arc<str>,
        /// The broker.
        broker: BrokerId,
    },
}

/// The addresses that were tried, each with its cause.
#[derive(Clone, Debug)]
pub struct Attempts(pub(crate) Arc<[(Arc<str>, ClientError)]>);

impl ClientError {
    /// What gives the request a chance when it is sent again.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Config { .. } | Self::InvalidRequest { .. } | Self::Unsupported { .. } => Retry::Never,
            // Until somebody turns the name or the address back.
            Self::OtherCluster { .. } => Retry::Never,
            Self::Broker { error, .. } => error.retry(),
            // A broker that breaks the protocol once will do so again; only the connection that it spoiled is replaced.
            Self::InvalidResponse { .. } => Retry::Backoff,
            // A password may come later than the user, and users come to brokers one after the other. How often it is tried is the
            // client's own affair.
            Self::Authentication { .. } => Retry::Backoff,
            Self::Unreachable { .. } | Self::Throttled { .. } => Retry::Backoff,
            Self::Network { .. }
            | Self::Tls { .. }
            | Self::Closed { .. }
            | Self::Timeout { .. }
            | Self::Stale { .. } => Retry::Reconnect,
            Self::UnknownBroker { .. } => Retry::RefreshMetadata,
        }
    }

    /// The error code, where a broker sent one.
    pub fn kafka_error(&self) -> Option<KafkaError> {
        match self {
            Self::Broker { error, .. } => Some(*error),
            _ => None,
        }
    }

    /// Whether another cluster answers.
    pub fn is_other_cluster(&self) -> bool {
        matches!(self, Self::OtherCluster { .. })
    }

    /// Whether the cluster does not take us for who we say we are.
    pub fn is_authentication(&self) -> bool {
        matches!(self, Self::Authentication { .. })
    }

    /// Whether an ACL is missing.
    pub fn is_authorization(&self) -> bool {
        self.kafka_error().is_some_and(KafkaError::is_authorization)
    }

    pub(crate) fn config(alias: &str, problem: impl Into<Arc<str>>) -> Self {
        Self::Config { alias: alias.into(), problem: problem.into() }
    }

    pub(crate) fn network(address: &Arc<str>, during: &'static str, cause: io::Error) -> Self {
        Self::Network { address: address.clone(), during, cause: Arc::new(cause) }
    }

    pub(crate) fn invalid_response(
        address: &Arc<str>,
        api: &'static str,
        problem: impl Into<Arc<str>>,
    ) -> Self {
        Self::InvalidResponse { address: address.clone(), api, problem: problem.into() }
    }

    pub(crate) fn invalid_request(api: &'static str, problem: impl Into<Arc<str>>) -> Self {
        Self::InvalidRequest { api, problem: problem.into() }
    }

    /// `Err` where `code` is an error, `Ok` where it is 0.
    pub(crate) fn check(
        code: i16,
        api: &'static str,
        context: impl fmt::Display,
        message: Option<&str>,
    ) -> Result<(), Self> {
        match KafkaError::from_code(code) {
            None => Ok(()),
            Some(error) => Err(Self::Broker {
                error,
                api,
                context: context.to_string().into(),
                message: message.map(Into::into),
            }),
        }
    }
}

impl Attempts {
    /// Each address with its cause.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ClientError)> {
        self.0.iter().map(|(address, cause)| (address.as_ref(), cause))
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (address, cause)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            // Causes begin with an address, which is another one than the name only where a name was resolved.
            match cause.to_string().strip_prefix(address.as_ref()).and_then(|rest| rest.strip_prefix(": ")) {
                Some(rest) => write!(f, "{separator}{address}: {rest}")?,
                None => write!(f, "{separator}{address}: {cause}")?,
            }
        }
        Ok(())
    }
}

struct Message<'a>(&'a Option<Arc<str>>);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(message) if !message.is_empty() => write!(f, ": {message}"),
            _ => Ok(()),
        }
    }
}

struct Detail<'a>(&'a Arc<str>);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_request_says_what_where_and_why() {
        let error =
            ClientError::check(10, "Produce", "orders-3", Some("The request included …")).unwrap_err();
        assert_eq!(error.to_string(), "Produce orders-3: MESSAGE_TOO_LARGE (10): The request included …");
        assert_eq!(error.retry(), Retry::Never);
        assert_eq!(error.kafka_error(), Some(KafkaError::MESSAGE_TOO_LARGE));
    }

    #[test]
    fn an_unreachable_cluster_names_each_address_once() {
        let refused = |address: &str| {
            let address: Arc<str> = address.into();
            let cause = io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
            (address.clone(), ClientError::network(&address, "connect", cause))
        };
        let error = ClientError::Unreachable {
            alias: "east".into(),
            attempts: Attempts([refused("a:1"), refused("b:2")].into()),
        };
        assert_eq!(
            error.to_string(),
            "cluster east cannot be reached: a:1: connect: connection refused; b:2: connect: connection refused"
        );
    }
}
