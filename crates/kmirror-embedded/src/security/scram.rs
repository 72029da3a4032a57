//! The broker's half of SCRAM (RFC 5802, `ScramSaslServer`): two messages each, and nobody tells the password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};

/// `SCRAM-SHA-256` or `SCRAM-SHA-512`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

/// One exchange, between its two messages.
#[derive(Debug)]
pub(crate) struct Exchange {
    hash: Hash,
    pub(crate) user: String,
    password: String,
    salt: Vec<u8>,
    nonce: String,
    client_first_bare: String,
    server_first: String,
}

impl Exchange {
    /// Takes the client's first message; the exchange and its answer. `password` tells that of a user.
    ///
    /// # Errors
    /// What is wrong, for nobody but the log of a test.
    pub(crate) fn begin(
        hash: Hash,
        message: &[u8],
        password: impl FnOnce(&str) -> Option<String>,
        mut random_bits: impl FnMut() -> u64,
    ) -> Result<(Exchange, Vec<u8>), &'static str> {
        let message = std::str::from_utf8(message).map_err(|_| "not text")?;
        let (binding, rest) = message.split_once(',').ok_or("no channel binding flag")?;
        let (_authorization, bare) = rest.split_once(',').ok_or("no authorization id")?;
        if !matches!(binding, "n" | "y") {
            return Err("channel binding is not supported");
        }
        let user = attribute(bare, "n=").ok_or("no user")?.replace("=2C", ",").replace("=3D", "=");
        let client_nonce = attribute(bare, "r=").ok_or("no nonce")?;
        let password = password(&user).ok_or("no such user")?;
        let salt = random_bits().to_be_bytes().to_vec();
        let nonce = format!("{client_nonce}{:016x}", random_bits());
        let server_first = format!("r={nonce},s={},i={ITERATIONS}", BASE64.encode(&salt));
        let answer = server_first.clone().into_bytes();
        let client_first_bare = bare.to_owned();
        Ok((Exchange { hash, user, password, salt, nonce, client_first_bare, server_first }, answer))
    }

    pub(crate) fn hash(&self) -> Hash {
        self.hash
    }

    /// Takes the client's last message, which proves that it knows the password; the answer proves that the broker does.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn finish(&self, message: &[u8]) -> Result<Vec<u8>, &'static str> {
        let message = std::str::from_utf8(message).map_err(|_| "not text")?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or("no proof")?;
        if attribute(without_proof, "r=") != Some(self.nonce.as_str()) {
            return Err("another nonce");
        }
        let proof = BASE64.decode(proof).map_err(|_| "a proof that is not base 64")?;
        let hash = self.hash;
        let salted = hash.salted(self.password.as_bytes(), &self.salt);
        let signed = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        let stored_key = hash.digest(&hash.mac(&salted, b"Client Key"));
        let signature = hash.mac(&stored_key, signed.as_bytes());
        let client_key: Vec<u8> =
            proof.iter().zip(&signature).map(|(proof, signature)| proof ^ signature).collect();
        if proof.len() != signature.len() || hash.digest(&client_key) != stored_key {
            return Err("a wrong password");
        }
        let server_key = hash.mac(&salted, b"Server Key");
        Ok(format!("v={}", BASE64.encode(hash.mac(&server_key, signed.as_bytes()))).into_bytes())
    }
}

impl Hash {
    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha256 => Sha256::digest(bytes).to_vec(),
            Hash::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    fn mac(self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha256 => mac::<Hmac<Sha256>>(key, bytes),
            Hash::Sha512 => mac::<Hmac<Sha512>>(key, bytes),
        }
    }

    fn salted(self, password: &[u8], salt: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha256 => pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, ITERATIONS).to_vec(),
            Hash::Sha512 => pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password, salt, ITERATIONS).to_vec(),
        }
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length (RFC 2104).
    let Ok(mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    mac.chain_update(bytes).finalize().into_bytes().to_vec()
}

fn attribute<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split(',').find_map(|attribute| attribute.strip_prefix(name))
}

/// `ScramMechanism`: the least that Kafka accepts.
const ITERATIONS: u32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7677_is_understood() {
        let exchange = Exchange {
            hash: Hash::Sha256,
            user: "user".to_owned(),
            password: "pencil".to_owned(),
            salt: BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(),
            nonce: "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned(),
            client_first_bare: "n=user,r=rOprNGfwEbeRWgbNEkqO".to_owned(),
            server_first:
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
                    .to_owned(),
        };
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let answer = exchange.finish(last.as_bytes()).unwrap();
        assert_eq!(answer, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let wrong = Exchange { password: "pencils".to_owned(), ..exchange };
        assert_eq!(wrong.finish(last.as_bytes()), Err("a wrong password"));
    }

    #[test]
    fn nonsense_is_refused() {
        let begin = |message: &[u8]| {
            Exchange::begin(Hash::Sha512, message, |user| (user == "a,b").then(String::new), || 7)
                .map(|(exchange, _)| exchange.user)
        };
        assert_eq!(begin(b"n,,n=a=2Cb,r=abc"), Ok("a,b".to_owned()));
        assert_eq!(begin(b"n,,n=other,r=abc"), Err("no such user"));
        for message in [&b""[..], b"n", b"n,", b"p=x,,n=a,r=b", b"n,,r=b", b"n,,n=a=2Cb", b"\xff,,"] {
            assert!(begin(message).is_err());
        }
    }
}
