//! The client's half of SCRAM (RFC 5802, RFC 7677) as Kafka speaks it: UTF-8 bytes as they are (`ScramFormatter.normalize`; SASLprep would
//! make other passwords of them), no channel binding.
//!
//! ```text
//!   ClientFirst ── server's first message ──► Challenge ── salted password ──► ServerProof ── server's last message ──► done
//! ```

use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

use crate::client::lock;
use crate::secret::Secret;
use crate::work;

/// The hash of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScramHash {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

/// The first message was sent.
pub(super) struct ClientFirst {
    hash: ScramHash,
    nonce: String,
    bare: String,
}

/// The broker has said how the password is to be salted.
pub(super) struct Challenge {
    hash: ScramHash,
    salt: Vec<u8>,
    iterations: u32,
    nonce: String,
    client_first_bare: String,
    server_first: String,
}

/// What the broker must show, for nobody else knows the password.
pub(super) struct ServerProof {
    hash: ScramHash,
    server_key: Vec<u8>,
    signed: String,
}

/// A password, salted and hashed as often as the broker wants.
pub(super) type Salted = Zeroizing<Vec<u8>>;

impl ScramHash {
    /// Kafka's name of the mechanism.
    pub fn mechanism(self) -> &'static str {
        match self {
            ScramHash::Sha256 => "SCRAM-SHA-256",
            ScramHash::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            ScramHash::Sha256 => Sha256::digest(bytes).to_vec(),
            ScramHash::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    fn mac(self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        match self {
            ScramHash::Sha256 => mac::<Hmac<Sha256>>(key, bytes),
            ScramHash::Sha512 => mac::<Hmac<Sha512>>(key, bytes),
        }
    }

    /// Whether `tag` is the code of `bytes`, in a time that tells nothing of it.
    fn verify(self, key: &[u8], bytes: &[u8], tag: &[u8]) -> bool {
        match self {
            ScramHash::Sha256 => verify::<Hmac<Sha256>>(key, bytes, tag),
            ScramHash::Sha512 => verify::<Hmac<Sha512>>(key, bytes, tag),
        }
    }

    fn salted(self, password: &[u8], salt: &[u8], iterations: u32) -> Salted {
        Zeroizing::new(match self {
            ScramHash::Sha256 => pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations).to_vec(),
            ScramHash::Sha512 => pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password, salt, iterations).to_vec(),
        })
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length (RFC 2104).
    let Ok(mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    mac.chain_update(bytes).finalize().into_bytes().to_vec()
}

fn verify<M: Mac + KeyInit>(key: &[u8], bytes: &[u8], tag: &[u8]) -> bool {
    <M as KeyInit>::new_from_slice(key).is_ok_and(|mac| mac.chain_update(bytes).verify_slice(tag).is_ok())
}

impl ClientFirst {
    pub(super) fn new(hash: ScramHash, username: &str, nonce: &str) -> ClientFirst {
        let username = username.replace('=', "=3D").replace(',', "=2C");
        ClientFirst { hash, nonce: nonce.to_owned(), bare: format!("n={username},r={nonce}") }
    }

    pub(super) fn message(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// Takes the broker's first message.
    ///
    /// # Errors
    /// What is wrong with it: a broker that is none, or one that would have us work for minutes.
    pub(super) fn challenge(self, message: &[u8]) -> Result<Challenge, String> {
        let wrong = |what: &str| format!("the broker's first message of SCRAM is wrong: {what}");
        let message = std::str::from_utf8(message).map_err(|_| wrong("it is not text"))?;
        let mut attributes = message.split(',');
        let mut attribute = |name: &str| {
            attributes.next().and_then(|attribute| attribute.strip_prefix(name)).ok_or_else(|| wrong(name))
        };
        let nonce = attribute("r=")?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(wrong("its nonce does not continue ours"));
        }
        let salt = BASE64.decode(attribute("s=")?).map_err(|_| wrong("the salt is not base 64"))?;
        if salt.is_empty() || salt.len() > SALT_BYTES_MAX {
            return Err(wrong("the salt is too short or too long"));
        }
        let iterations =
            attribute("i=")?.parse::<u32>().map_err(|_| wrong("the iterations are no number"))?;
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(wrong(&format!(
                "{iterations} iterations are not between {ITERATIONS_MIN} and {ITERATIONS_MAX}"
            )));
        }
        Ok(Challenge {
            hash: self.hash,
            salt,
            iterations,
            nonce: nonce.to_owned(),
            client_first_bare: self.bare,
            server_first: message.to_owned(),
        })
    }
}

impl Challenge {
    /// Proves by the salted password that we know it; the message, and what the broker must answer.
    pub(super) fn answer(self, salted: &Salted) -> (String, ServerProof) {
        // `biws` is `n,,`: there is no channel to bind to.
        let without_proof = format!("c=biws,r={}", self.nonce);
        let signed = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        let client_key = Zeroizing::new(self.hash.mac(salted, b"Client Key"));
        let signature = self.hash.mac(&self.hash.digest(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, sign)| key ^ sign).collect();
        let message = format!("{without_proof},p={}", BASE64.encode(proof));
        let server_key = self.hash.mac(salted, b"Server Key");
        (message, ServerProof { hash: self.hash, server_key, signed })
    }
}

impl ServerProof {
    /// Judges the broker's last message.
    ///
    /// # Errors
    /// That it has refused us, or has not proved that it knows the password.
    pub(super) fn check(&self, message: &[u8]) -> Result<(), String> {
        let message = std::str::from_utf8(message).unwrap_or_default();
        let signature = message.split(',').next().and_then(|first| first.strip_prefix("v="));
        let signature = signature.and_then(|signature| BASE64.decode(signature).ok()).unwrap_or_default();
        if self.hash.verify(&self.server_key, self.signed.as_bytes(), &signature) {
            return Ok(());
        }
        Err("the broker has not proved that it knows the password: it may be somebody else".to_owned())
    }
}

/// The last salted password: brokers of a cluster share salts, and hashing takes milliseconds of a core.
#[derive(Default)]
pub(super) struct SaltedCache(Mutex<Option<Known>>);

struct Known {
    password: Secret,
    salt: Vec<u8>,
    iterations: u32,
    salted: Salted,
}

impl SaltedCache {
    /// The salted password that a challenge asks for.
    pub(super) async fn get(&self, challenge: &Challenge, password: &Secret) -> Result<Salted, String> {
        let (hash, iterations) = (challenge.hash, challenge.iterations);
        if let Some(known) = &*lock(&self.0)
            && (&known.password, &known.salt, known.iterations) == (password, &challenge.salt, iterations)
        {
            return Ok(known.salted.clone());
        }
        let (secret, salt) = (password.clone(), challenge.salt.clone());
        let hashing = work::run(move || hash.salted(secret.reveal().as_bytes(), &salt, iterations));
        let salted = hashing.await.map_err(|_| "the password was not hashed".to_owned())?;
        let (password, salt) = (password.clone(), challenge.salt.clone());
        *lock(&self.0) = Some(Known { password, salt, iterations, salted: salted.clone() });
        Ok(salted)
    }
}

/// Kafka's own bound (`ScramMechanism`); fewer would help whoever listens.
const ITERATIONS_MIN: u32 = 4096;
/// Half a second of a core. A hostile broker would like two thousand times as many.
const ITERATIONS_MAX: u32 = 1_000_000;
const SALT_BYTES_MAX: usize = 1024;
