//! Clusters that do not answer, or are none.

use std::sync::Arc;
use std::time::Duration;

use kmirror_client::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

/// A socket that has a port and does not listen. As long as it lives, nobody else is given its port.
fn refusing() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket
}

/// A server that reads something, writes `answer` and closes; with no answer it keeps silent.
async fn answering(answer: Option<&'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1_000];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            match answer {
                Some(answer) => stream.write_all(answer).await.unwrap(),
                None => tokio::time::sleep(Duration::from_secs(3_600)).await,
            }
        }
    });
    address
}

async fn fails(servers: impl IntoIterator<Item = String>) -> ClientError {
    let mut config = ClientConfig::new("east", servers);
    config.connect_timeout = Duration::from_secs(2);
    Client::connect(config).await.unwrap_err()
}

#[tokio::test]
async fn every_address_is_named_with_its_cause() {
    let refuses = refusing();
    let (refusing, tls, http, silent) = (
        refuses.local_addr().unwrap().to_string(),
        answering(Some(b"")).await,
        answering(Some(b"HTTP/1.1 400 Bad Request")).await,
        answering(None).await,
    );
    let servers = [refusing.as_str(), &tls, &http, &silent, "no.such.host.invalid:9092"].map(str::to_owned);
    let error = fails(servers).await;
    assert_eq!(error.retry(), Retry::Backoff);
    let ClientError::Unreachable { alias, attempts } = &error else { panic!("{error}") };
    assert_eq!(alias, &Arc::from("east"));
    let cause = |address: &str| {
        let cause = attempts.iter().find(|(tried, _)| *tried == address).unwrap().1;
        cause.to_string()
    };
    assert!(cause(&refusing).contains("Connection refused"), "{error}");
    assert!(cause(&tls).ends_with("closed during ApiVersions: does this listener expect TLS?"), "{error}");
    assert!(cause(&http).ends_with("that is HTTP, not Kafka"), "{error}");
    assert!(cause(&silent).ends_with("no answer to connect within 2s"), "{error}");
    assert!(!cause("no.such.host.invalid:9092").is_empty(), "{error}");
}

#[tokio::test]
async fn no_server_at_all_is_a_configuration_error() {
    let error = fails([]).await;
    assert_eq!(error.to_string(), "cluster east: no bootstrap servers");
    assert_eq!(error.retry(), Retry::Never);
}
