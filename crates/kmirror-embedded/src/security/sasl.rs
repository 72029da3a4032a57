//! What a connection must do before it may do anything else (`SaslServerAuthenticator`).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::acl::Principal;
use super::scram::{Exchange, Hash};
use crate::machine::Machine;

/// How far a connection has come.
///
/// ```text
///                 handshake               token                    last token
///   Unknown ───────────────────► Chosen ─────────► Exchanging ───────────────► Known
///                                   └──────────── PLAIN: its only token ────────►
/// ```
#[derive(Debug)]
pub(crate) enum Authentication {
    /// Nobody knows who it is.
    Unknown,
    /// It has chosen a mechanism.
    Chosen(Mechanism),
    /// SCRAM is half way.
    Exchanging(Box<Exchange>),
    /// It is known, or nobody has to be.
    Known,
}

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Plain,
    Scram(Hash),
}

/// Users and their passwords. Its `Debug` shows no password.
#[derive(Clone, Default)]
pub(crate) struct Users(pub(crate) BTreeMap<String, String>);

/// How long somebody is believed to be who he is (KIP-368).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Session {
    /// `connections.max.reauth.ms`. `None`: for as long as the connection.
    pub(crate) lifetime: Option<Duration>,
    pub(crate) ends: Option<Instant>,
    /// The user is known, and says once more who he is.
    pub(crate) renewing: Option<Mechanism>,
    pub(crate) renewed: Option<Instant>,
}

impl Session {
    pub(crate) fn is_over(&self) -> bool {
        self.ends.is_some_and(|ends| Instant::now() >= ends)
    }

    /// Whether somebody who is known may begin again: not more often than once a second (`KafkaChannel`).
    pub(crate) fn may_renew(&self) -> bool {
        self.lifetime.is_some()
            && self.renewed.is_none_or(|renewed| renewed.elapsed() >= RENEWAL_INTERVAL_MIN)
    }

    pub(crate) fn renew(&mut self, mechanism: Mechanism) {
        (self.renewing, self.renewed) = (Some(mechanism), Some(Instant::now()));
    }

    /// Somebody is known from now on; for how many milliseconds.
    pub(crate) fn begin(&mut self) -> i64 {
        self.renewing = None;
        self.ends = self.lifetime.map(|lifetime| Instant::now() + lifetime);
        self.lifetime.map_or(0, |lifetime| i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX))
    }
}

const RENEWAL_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// What a token leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// These bytes are for the client, and another token is expected.
    Continue(Vec<u8>),
    /// It is this user; these bytes are for it.
    Done(String, Vec<u8>),
}

impl Mechanism {
    pub(crate) const ALL: [Mechanism; 3] =
        [Mechanism::Plain, Mechanism::Scram(Hash::Sha256), Mechanism::Scram(Hash::Sha512)];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Scram(Hash::Sha256) => "SCRAM-SHA-256",
            Mechanism::Scram(Hash::Sha512) => "SCRAM-SHA-512",
        }
    }
}

impl Authentication {
    /// Takes a token of the client.
    ///
    /// # Errors
    /// The message of SASL_AUTHENTICATION_FAILED; the connection ends.
    pub(crate) fn on_token(
        &mut self,
        token: &[u8],
        users: &Users,
        machine: &mut Machine,
    ) -> Result<Progress, String> {
        match self {
            Authentication::Chosen(Mechanism::Plain) => {
                let user =
                    users.plain(token).map_err(|problem| format!("Authentication failed: {problem}"))?;
                *self = Authentication::Known;
                Ok(Progress::Done(user, Vec::new()))
            }
            Authentication::Chosen(Mechanism::Scram(hash)) => {
                let hash = *hash;
                let known = |user: &str| users.0.get(user).cloned();
                let (exchange, answer) = Exchange::begin(hash, token, known, || machine.bits("SCRAM"))
                    .map_err(|_| invalid_credentials(hash))?;
                *self = Authentication::Exchanging(Box::new(exchange));
                Ok(Progress::Continue(answer))
            }
            Authentication::Exchanging(exchange) => {
                let hash = exchange.hash();
                let answer = exchange.finish(token).map_err(|_| invalid_credentials(hash))?;
                let user = exchange.user.clone();
                *self = Authentication::Known;
                Ok(Progress::Done(user, answer))
            }
            Authentication::Unknown | Authentication::Known => {
                Err("SaslAuthenticate request received after successful authentication".to_owned())
            }
        }
    }
}

impl Users {
    /// `PlainSaslServer.evaluateResponse`: authorization id, user and password, with zero bytes between.
    fn plain(&self, token: &[u8]) -> Result<String, &'static str> {
        let text = std::str::from_utf8(token).map_err(|_| "Invalid SASL/PLAIN response")?;
        let mut parts = text.split('\0');
        let (Some(authorization), Some(user), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("Invalid SASL/PLAIN response: expected 3 tokens");
        };
        if self.0.get(user).is_none_or(|known| known != password) {
            return Err("Invalid username or password");
        }
        if !authorization.is_empty() && authorization != user {
            return Err("Client requested an authorization id that is different from username");
        }
        Ok(user.to_owned())
    }
}

impl std::fmt::Debug for Users {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// The principal of a user, as the default principal builder makes it.
pub(crate) fn principal(user: &str, host: &str) -> Principal {
    Principal { name: format!("User:{user}"), host: host.to_owned() }
}

fn invalid_credentials(hash: Hash) -> String {
    let mechanism = Mechanism::Scram(hash).name();
    format!(
        "Authentication failed during authentication due to invalid credentials with SASL mechanism {mechanism}"
    )
}
