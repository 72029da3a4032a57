//! The tokens of one authentication, whatever the mechanism.

use rustls::crypto::aws_lc_rs;

use super::SaslConfig;
use super::scram::{ClientFirst, SaltedCache, ServerProof};
use crate::secret::Secret;
use crate::{chance, simulated};

/// One authentication.
pub(super) struct Exchange {
    who: String,
    secret: Secret,
    state: State,
}

enum State {
    Plain,
    Scram(ClientFirst),
    /// The broker has to prove itself.
    ScramProof(ServerProof),
    OAuth,
    /// The broker has refused the token in this way; it says so once more when we have taken note.
    OAuthRefused(String),
    Done,
}

impl Exchange {
    pub(super) fn begin(config: &SaslConfig, secret: &Secret) -> Exchange {
        let (who, state) = match config {
            SaslConfig::Plain { username, .. } => (username.clone(), State::Plain),
            SaslConfig::Scram { hash, username, .. } => {
                (username.clone(), State::Scram(ClientFirst::new(*hash, username, &nonce())))
            }
            SaslConfig::OAuthBearer { .. } => (String::new(), State::OAuth),
        };
        Exchange { who, secret: secret.clone(), state }
    }

    /// The first token.
    pub(super) fn first(&self) -> Secret {
        let secret = self.secret.reveal();
        match &self.state {
            State::Plain => Secret::new(format!("\0{}\0{secret}", self.who)),
            State::Scram(first) => Secret::new(first.message()),
            State::OAuth => Secret::new(format!("n,,\u{1}auth=Bearer {}\u{1}\u{1}", secret.trim())),
            State::ScramProof(_) | State::OAuthRefused(_) | State::Done => Secret::new(""),
        }
    }

    /// Takes the broker's answer to the last token; the next token, or `None` at the end.
    ///
    /// # Errors
    /// Why this is not the cluster, or not one that lets us in.
    pub(super) async fn step(
        &mut self,
        answer: &[u8],
        salted: &SaltedCache,
    ) -> Result<Option<Secret>, String> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Plain | State::Done => Ok(None),
            State::Scram(first) => {
                let challenge = first.challenge(answer)?;
                let key = salted.get(&challenge, &self.secret).await?;
                let (message, proof) = challenge.answer(&key);
                self.state = State::ScramProof(proof);
                Ok(Some(Secret::new(message)))
            }
            State::ScramProof(proof) => proof.check(answer).map(|()| None),
            State::OAuth if answer.is_empty() => Ok(None),
            State::OAuth => {
                self.state = State::OAuthRefused(printable(&String::from_utf8_lossy(answer)));
                Ok(Some(Secret::new("\u{1}")))
            }
            State::OAuthRefused(problem) => Err(format!("the broker refuses the token: {problem}")),
        }
    }

    /// A refusal in the broker's words.
    pub(super) fn explain(&self, words: &str) -> String {
        let words = printable(words);
        match &self.state {
            State::OAuthRefused(problem) => format!("the broker refuses the token: {problem}: {words}"),
            State::OAuth => format!("the broker refuses the token: {words}"),
            _ => format!("the broker refuses user {}: {words}", self.who),
        }
    }
}

/// Text of a broker as it may go to a terminal.
fn printable(text: &str) -> String {
    text.chars().take(WORDS_MAX).map(|sign| if sign.is_control() { '?' } else { sign }).collect()
}

/// What nobody can foresee: a broker that could would make us sign what it has heard before.
fn nonce() -> String {
    use base64::Engine as _;
    let mut bytes = [0; 24];
    // Where the machine's generator does not work, the seeds of the standard library are unforeseen too.
    if simulated::is_entered() || aws_lc_rs::default_provider().secure_random.fill(&mut bytes).is_err() {
        bytes.fill_with(|| chance::bits("SCRAM nonce", "").to_le_bytes()[0]);
    }
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes)
}

const WORDS_MAX: usize = 500;
