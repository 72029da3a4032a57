//! The exchanges against scripted brokers, honest and not.

use std::collections::VecDeque;

use super::*;
use crate::error_codes::Retry;

/// What it says to a token.
type Scripted = Box<dyn FnOnce(&str) -> Result<String, String> + Send>;

/// A broker that answers each token as its script says.
struct Script {
    address: Arc<str>,
    answers: VecDeque<Scripted>,
    sent: Vec<String>,
    lifetime: Option<Duration>,
}

impl Script {
    fn new() -> Script {
        let address = "broker:9093".into();
        Script { address, answers: VecDeque::new(), sent: Vec::new(), lifetime: None }
    }

    fn then(mut self, answer: impl FnOnce(&str) -> Result<String, String> + Send + 'static) -> Script {
        self.answers.push_back(Box::new(answer));
        self
    }
}

impl Wire for Script {
    fn address(&self) -> &Arc<str> {
        &self.address
    }

    async fn choose(&mut self, mechanism: &'static str) -> Result<Option<String>, ClientError> {
        self.sent.push(mechanism.to_owned());
        Ok(None)
    }

    async fn send(&mut self, token: Secret) -> Result<Result<Answer, String>, ClientError> {
        let answer = self.answers.pop_front().expect("no more tokens")(token.reveal());
        self.sent.push(token.reveal().to_owned());
        Ok(answer.map(|token| Answer { token: token.into_bytes(), session_lifetime: self.lifetime }))
    }
}

fn plain(password: &str) -> Sasl {
    let config = SaslConfig::Plain { username: "alice".to_owned(), password: Material::text(password) };
    Sasl::new("east", &config)
}

fn scram(username: &str, password: &str) -> Sasl {
    let (hash, password) = (ScramHash::Sha256, Material::text(password));
    Sasl::new("east", &SaslConfig::Scram { hash, username: username.to_owned(), password })
}

#[tokio::test]
async fn plain_tells_user_and_password() {
    let mut broker = Script::new().then(|_| Ok(String::new()));
    broker.lifetime = Some(Duration::from_secs(60));
    let lifetime = plain("p,ä=").authenticate(&mut broker).await.unwrap();
    assert_eq!(broker.sent, ["PLAIN", "\0alice\0p,ä="]);
    assert_eq!(lifetime, Some(Duration::from_secs(60)));
}

#[tokio::test]
async fn an_oauth_bearer_shows_his_token_and_takes_note_of_a_refusal() {
    let sasl = Sasl::new("east", &SaslConfig::OAuthBearer { token: Material::text("abc.def\n") });
    let mut broker = Script::new().then(|_| Ok(String::new()));
    sasl.authenticate(&mut broker).await.unwrap();
    assert_eq!(broker.sent, ["OAUTHBEARER", "n,,\u{1}auth=Bearer abc.def\u{1}\u{1}"]);

    let mut broker = Script::new()
        .then(|_| Ok("{\"status\":\"invalid_token\"}\u{1b}".to_owned()))
        .then(|token| if token == "\u{1}" { Err("no".to_owned()) } else { Ok(String::new()) });
    let error = sasl.authenticate(&mut broker).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "broker:9093: OAUTHBEARER: the broker refuses the token: {\"status\":\"invalid_token\"}?: no"
    );
}

/// Who listens learns nothing of the password, and the exchange of RFC 7677 would come out as it says there.
#[test]
fn scram_is_that_of_the_rfc() {
    let first = scram::ClientFirst::new(ScramHash::Sha256, "user", "rOprNGfwEbeRWgbNEkqO");
    assert_eq!(first.message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let challenge = first
        .challenge(b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
        .unwrap_or_else(|problem| panic!("{problem}"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let salted = runtime.block_on(SaltedCache::default().get(&challenge, &Secret::new("pencil"))).unwrap();
    let (message, proof) = challenge.answer(&salted);
    assert_eq!(
        message,
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    assert_eq!(proof.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
    for wrong in
        [&b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="[..], b"v=", b"", b"e=other-error", b"\xff"]
    {
        assert!(proof.check(wrong).is_err());
    }
}

#[tokio::test]
async fn a_user_name_may_hold_what_means_something() {
    let mut broker = Script::new().then(|_| Err("stop".to_owned()));
    scram("a=b,c", "x").authenticate(&mut broker).await.unwrap_err();
    assert!(broker.sent[1].starts_with("n,,n=a=3Db=2Cc,r="), "{:?}", broker.sent);
}

#[tokio::test]
async fn every_exchange_has_a_nonce_of_its_own() {
    let mut nonces = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let mut broker = Script::new().then(|_| Err("stop".to_owned()));
        scram("alice", "x").authenticate(&mut broker).await.unwrap_err();
        nonces.insert(broker.sent[1].split_once(",r=").unwrap().1.to_owned());
    }
    assert_eq!(nonces.len(), 20);
    assert!(nonces.iter().all(|nonce| nonce.len() == 32 && !nonce.contains(',')));
}

/// What a hostile broker may answer to the first message: `{nonce}` stands for ours.
#[tokio::test]
async fn a_broker_that_plays_foul_is_refused() {
    for (answer, said) in [
        ("r=other,s=QUJD,i=4096", "its nonce does not continue ours"),
        ("r=x{nonce},s=QUJD,i=4096", "its nonce does not continue ours"),
        ("r={nonce},s=QUJD,i=4096", "its nonce does not continue ours"),
        ("r={nonce}x,s=QUJD,i=4095", "4095 iterations are not between 4096 and 1000000"),
        ("r={nonce}x,s=QUJD,i=1000001", "1000001 iterations are not between"),
        ("r={nonce}x,s=QUJD,i=4294967295", "4294967295 iterations are not between"),
        ("r={nonce}x,s=QUJD,i=99999999999", "the iterations are no number"),
        ("r={nonce}x,s=,i=4096", "the salt is too short or too long"),
        ("r={nonce}x,s=?,i=4096", "the salt is not base 64"),
        ("m=extension,r={nonce}x,s=QUJD,i=4096", "SCRAM is wrong: r="),
        ("", "SCRAM is wrong: r="),
    ] {
        let mut broker = Script::new().then(move |first| {
            let nonce = first.split_once(",r=").map_or("", |(_, nonce)| nonce);
            Ok(answer.replace("{nonce}", nonce))
        });
        let error = scram("alice", "x").authenticate(&mut broker).await.unwrap_err();
        assert!(error.is_authentication() && error.to_string().contains(said), "{answer}: {error}");
    }
    // It knows our user and not the password.
    let mut broker = Script::new()
        .then(|first| Ok(format!("r={}x,s=QUJD,i=4096", first.split_once(",r=").unwrap().1)))
        .then(|_| Ok("v=AAAA".to_owned()));
    let error = scram("alice", "x").authenticate(&mut broker).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "broker:9093: SCRAM-SHA-256: the broker has not proved that it knows the password: it may be somebody else"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_refuses_is_left_in_peace_longer_and_longer() {
    let path = std::env::temp_dir().join(format!("kmirror-password-{}", std::process::id()));
    std::fs::write(&path, "wrong\n").unwrap();
    let config = SaslConfig::Plain { username: "alice".to_owned(), password: Material::file(&path) };
    let sasl = Sasl::new("east", &config);
    let refuse = async || {
        let mut broker = Script::new().then(|_| Err("Invalid username or password".to_owned()));
        sasl.authenticate(&mut broker).await.unwrap_err()
    };
    for pause_seconds in [10, 20, 40, 80, 160, 300, 300] {
        sasl.admit().await.unwrap();
        let error = refuse().await;
        assert_eq!(
            error.to_string(),
            "broker:9093: PLAIN: the broker refuses user alice: Invalid username or password"
        );
        assert_eq!(error.retry(), Retry::Backoff);
        // Of another connection that was under way: it lengthens nothing.
        refuse().await;
        tokio::time::advance(Duration::from_millis(pause_seconds * 1_000 - 100)).await;
        assert!(sasl.admit().await.unwrap_err().is_authentication(), "{pause_seconds}");
        tokio::time::advance(Duration::from_millis(200)).await;
    }
    refuse().await;
    assert!(sasl.admit().await.is_err());
    std::fs::write(&path, "right\n").unwrap();
    sasl.admit().await.expect("another password may be right at once");
    sasl.authenticate(&mut Script::new().then(|token| {
        assert_eq!(token, "\0alice\0right");
        Ok(String::new())
    }))
    .await
    .unwrap();
    std::fs::remove_file(&path).unwrap();
    let error = sasl.admit().await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cluster east: sasl: cannot read {}: ", path.display())), "{error}");
}

#[test]
fn a_password_that_cannot_be_sent_is_refused() {
    for password in ["", "a\0b"] {
        let config = SaslConfig::Plain { username: "alice".to_owned(), password: Material::text(password) };
        let problem = config.check().unwrap_err();
        assert_eq!(problem, "the given text is empty, or holds a zero byte");
        assert!(!format!("{config:?}").contains("a\0b"));
    }
}
