//! The requests that carry the tokens of SASL, and their repetition before the session ends.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use tokio::time::sleep;

use super::Inner;
use super::link::{Link, Turn};
use super::negotiate::ApiVersions;
use crate::chance;
use crate::error::ClientError;
use crate::error_codes::KafkaError;
use crate::sasl::{Answer, Sasl, Wire};
use crate::secret::Secret;
use crate::wire::Api;

/// Authenticates in one turn: a broker closes the connection if anything else comes in between.
pub(super) async fn authenticate(
    sasl: &Sasl,
    link: &Link,
    versions: &ApiVersions,
) -> Result<Option<Duration>, ClientError> {
    let turn = link.exclusively().await;
    sasl.authenticate(&mut Tokens { turn, versions }).await
}

/// Authenticates again and again, each time before the session ends. A new connection in its place would cost a take-over of every partition
/// on it.
pub(super) async fn renew(connection: Weak<Inner>, sasl: Arc<Sasl>, mut lifetime: Duration) {
    loop {
        sleep(share_of(lifetime).max(INTERVAL_MIN)).await;
        let Some(connection) = connection.upgrade() else { return };
        if connection.link.poison().is_some() {
            return;
        }
        match authenticate(&sasl, &connection.link, &connection.versions).await {
            Ok(Some(next)) => {
                lifetime = next;
                tracing::debug!(address = %connection.link.address(), ?lifetime, "session renewed");
            }
            Ok(None) => return,
            Err(error) => return connection.link.give_up(error),
        }
    }
}

/// From 80 to 90 %, so that not all connections come at once.
fn share_of(lifetime: Duration) -> Duration {
    let percent = 80 + chance::bits("reauthentication", "") % 11;
    lifetime.mul_f64(percent as f64 / 100.0)
}

/// A broker refuses what comes within a second of the last time (`KafkaChannel`).
const INTERVAL_MIN: Duration = Duration::from_millis(1_010);

struct Tokens<'a> {
    turn: Turn<'a>,
    versions: &'a ApiVersions,
}

impl Wire for Tokens<'_> {
    fn address(&self) -> &Arc<str> {
        self.turn.address()
    }

    async fn choose(&mut self, mechanism: &'static str) -> Result<Option<String>, ClientError> {
        let version = self.versions.version::<SaslHandshakeRequest>(self.address())?;
        let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let response = self.turn.call(request, version).await?;
        match KafkaError::from_code(response.error_code) {
            Some(KafkaError::UNSUPPORTED_SASL_MECHANISM) => {
                let offered: Vec<_> = response.mechanisms.iter().map(|name| name.as_str()).collect();
                Ok(Some(format!("the broker does not offer it, but {}", offered.join(", "))))
            }
            Some(KafkaError::ILLEGAL_SASL_STATE) => {
                Ok(Some("this listener takes no SASL: use one that does, or leave `sasl` out".to_owned()))
            }
            _ => {
                ClientError::check(response.error_code, SaslHandshakeRequest::NAME, self.address(), None)?;
                Ok(None)
            }
        }
    }

    async fn send(&mut self, token: Secret) -> Result<Result<Answer, String>, ClientError> {
        let version = self.versions.version::<SaslAuthenticateRequest>(self.address())?;
        let token = Bytes::copy_from_slice(token.reveal().as_bytes());
        let request = SaslAuthenticateRequest::default().with_auth_bytes(token);
        let response = self.turn.call(request, version).await?;
        let words = response.error_message.as_ref().map(|words| words.as_str());
        if KafkaError::from_code(response.error_code) == Some(KafkaError::SASL_AUTHENTICATION_FAILED) {
            return Ok(Err(words.unwrap_or("it does not say why").to_owned()));
        }
        ClientError::check(response.error_code, SaslAuthenticateRequest::NAME, self.address(), words)?;
        let lifetime_ms = u64::try_from(response.session_lifetime_ms).unwrap_or(0);
        Ok(Ok(Answer {
            token: response.auth_bytes.to_vec(),
            session_lifetime: Some(Duration::from_millis(lifetime_ms)).filter(|time| !time.is_zero()),
        }))
    }
}
