//! A client that does as it is told: one request, one answer, and no opinion.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

pub(crate) struct Wire {
    stream: TcpStream,
}

impl Wire {
    pub(crate) fn connect(address: &str) -> Wire {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Wire { stream }
    }

    pub(crate) fn call<Q: Request>(&mut self, version: i16, request: &Q) -> Q::Response {
        self.try_call(version, request).expect("an answer")
    }

    /// `None`: the broker hung up.
    pub(crate) fn try_call<Q: Request>(&mut self, version: i16, request: &Q) -> Option<Q::Response> {
        self.send(version, request)?;
        self.receive::<Q>(version)
    }

    /// Sends a request whose answer is received later.
    pub(crate) fn send<Q: Request>(&mut self, version: i16, request: &Q) -> Option<()> {
        let header = RequestHeader::default()
            .with_request_api_key(Q::KEY)
            .with_request_api_version(version)
            .with_correlation_id(7)
            .with_client_id(Some(StrBytes::from_static_str("conformance")));
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        header.encode(&mut frame, Q::header_version(version)).unwrap();
        request.encode(&mut frame, version).unwrap();
        let length = (frame.len() - 4) as i32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame).ok()
    }

    pub(crate) fn receive<Q: Request>(&mut self, version: i16) -> Option<Q::Response> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).ok()?;
        let mut answer = vec![0; i32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut answer).unwrap();
        let mut answer = Bytes::from(answer);
        let header = ResponseHeader::decode(&mut answer, Q::Response::header_version(version)).unwrap();
        assert_eq!(header.correlation_id, 7);
        let response = Q::Response::decode(&mut answer, version).unwrap();
        assert_eq!(answer.remaining(), 0, "bytes are left over");
        Some(response)
    }
}
