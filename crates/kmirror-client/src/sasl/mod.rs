//! Who we are: SaslHandshake and SaslAuthenticate (KIP-43, KIP-152), in the turn of a connection that nothing else interrupts, and again
//! before the session ends (KIP-368).

mod exchange;
mod scram;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::lock;
use crate::error::ClientError;
use crate::secret::{Material, Secret};
use crate::work;
use exchange::Exchange;
use scram::SaltedCache;

pub use scram::ScramHash;

/// Who we are for a cluster, and how that is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaslConfig {
    /// PLAIN (RFC 4616): the broker is told the password. Not without TLS, unless everybody on the way may know it.
    Plain {
        /// The user.
        username: String,
        /// The password. Of a file, without the line break at its end.
        password: Material,
    },
    /// SCRAM (RFC 5802): both sides prove that they know the password, and nobody tells it.
    Scram {
        /// SCRAM-SHA-256 or SCRAM-SHA-512.
        hash: ScramHash,
        /// The user.
        username: String,
        /// The password. Of a file, without the line break at its end.
        password: Material,
    },
    /// OAUTHBEARER (RFC 7628) with a token that somebody else renews. Not without TLS either.
    OAuthBearer {
        /// The token. A file is read again whenever it is shown.
        token: Material,
    },
}

impl SaslConfig {
    /// Kafka's name of the mechanism.
    pub fn mechanism(&self) -> &'static str {
        match self {
            SaslConfig::Plain { .. } => "PLAIN",
            SaslConfig::Scram { hash, .. } => hash.mechanism(),
            SaslConfig::OAuthBearer { .. } => "OAUTHBEARER",
        }
    }

    /// Whether the broker is told what others must not hear.
    pub fn tells_the_secret(&self) -> bool {
        !matches!(self, SaslConfig::Scram { .. })
    }

    /// Reads the file, if there is one. Blocks.
    ///
    /// # Errors
    /// That it cannot be read, or holds nothing.
    pub fn check(&self) -> Result<(), String> {
        self.read().map(drop)
    }

    fn read(&self) -> Result<Secret, String> {
        let (SaslConfig::Plain { password: material, .. }
        | SaslConfig::Scram { password: material, .. }
        | SaslConfig::OAuthBearer { token: material }) = self;
        let secret = material.read_line()?;
        let is_usable = !secret.reveal().is_empty() && !secret.reveal().contains('\0');
        if is_usable { Ok(secret) } else { Err(format!("{material} is empty, or holds a zero byte")) }
    }
}

/// The authentication of one client, over all its connections.
pub(crate) struct Sasl {
    alias: Arc<str>,
    config: SaslConfig,
    refusal: Mutex<Option<Refusal>>,
    salted: SaltedCache,
}

/// The cluster has refused us: it is left in peace for a while, since brokers lock accounts, unless there is another secret by then.
struct Refusal {
    secret: Secret,
    error: ClientError,
    until: Instant,
    pause: Duration,
}

impl Sasl {
    pub(crate) fn new(alias: &str, config: &SaslConfig) -> Sasl {
        Sasl {
            alias: alias.into(),
            config: config.clone(),
            refusal: Mutex::default(),
            salted: SaltedCache::default(),
        }
    }

    /// Whether a new connection has a chance.
    ///
    /// # Errors
    /// The last refusal, where it is too soon for the next attempt.
    pub(crate) async fn admit(&self) -> Result<(), ClientError> {
        let secret = self.secret().await?;
        match &*lock(&self.refusal) {
            Some(refusal) if refusal.secret == secret && Instant::now() < refusal.until => {
                Err(refusal.error.clone())
            }
            _ => Ok(()),
        }
    }

    /// Proves who we are by what `send` sends: each call is a token, and gives the broker's answer to it.
    pub(crate) async fn authenticate(&self, wire: &mut impl Wire) -> Result<Option<Duration>, ClientError> {
        let secret = self.secret().await?;
        let authenticated = self.exchange(wire, &secret).await;
        match &authenticated {
            Ok(_) => *lock(&self.refusal) = None,
            Err(error) if error.is_authentication() => self.note_refusal(secret, error),
            Err(_) => {}
        }
        authenticated
    }

    async fn exchange(&self, wire: &mut impl Wire, secret: &Secret) -> Result<Option<Duration>, ClientError> {
        let mechanism = self.config.mechanism();
        let refused = |address: &Arc<str>, problem: String| ClientError::Authentication {
            address: address.clone(),
            mechanism,
            problem: problem.into(),
        };
        if let Some(problem) = wire.choose(mechanism).await? {
            return Err(refused(wire.address(), problem));
        }
        let mut exchange = Exchange::begin(&self.config, secret);
        let mut token = exchange.first();
        loop {
            let answer = wire.send(token).await?;
            let answer = answer.map_err(|problem| refused(wire.address(), exchange.explain(&problem)))?;
            match exchange.step(&answer.token, &self.salted).await {
                Ok(Some(next)) => token = next,
                Ok(None) => return Ok(answer.session_lifetime),
                Err(problem) => return Err(refused(wire.address(), problem)),
            }
        }
    }

    async fn secret(&self) -> Result<Secret, ClientError> {
        let config = self.config.clone();
        let read = work::run(move || config.read()).await;
        read.unwrap_or_else(|_| Err("it was not read".to_owned()))
            .map_err(|problem| ClientError::config(&self.alias, format!("sasl: {problem}")))
    }

    fn note_refusal(&self, secret: Secret, error: &ClientError) {
        let now = Instant::now();
        let mut refusal = lock(&self.refusal);
        let pause = match &*refusal {
            // Of an attempt that was under way when another one was refused.
            Some(last) if last.secret == secret && now < last.until => return,
            Some(last) if last.secret == secret => (last.pause * 2).min(PAUSE_MAX),
            _ => PAUSE_MIN,
        };
        *refusal = Some(Refusal { secret, error: error.clone(), until: now + pause, pause });
    }
}

/// The requests around the tokens.
pub(crate) trait Wire: Send {
    fn address(&self) -> &Arc<str>;

    /// Chooses the mechanism; what the broker has against it.
    fn choose(
        &mut self,
        mechanism: &'static str,
    ) -> impl Future<Output = Result<Option<String>, ClientError>> + Send;

    /// Sends a token. `Err` within `Ok`: the broker refuses it, in these words.
    fn send(
        &mut self,
        token: Secret,
    ) -> impl Future<Output = Result<Result<Answer, String>, ClientError>> + Send;
}

/// What a broker says to a token.
pub(crate) struct Answer {
    pub(crate) token: Vec<u8>,
    /// How long the session lasts (KIP-368). `None`: for as long as the connection.
    pub(crate) session_lifetime: Option<Duration>,
}

const PAUSE_MIN: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(300);
