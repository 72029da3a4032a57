//! SaslHandshake and SaslAuthenticate (`SaslServerAuthenticator`), version 1 of the handshake: tokens come in requests (KIP-152).

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};

use super::text;
use crate::machine::Machine;
use crate::network::Connection;
use crate::security::sasl::{self, Mechanism, Progress};
use crate::security::{Authentication, Users};

pub(super) fn handshake(
    request: &SaslHandshakeRequest,
    connection: &mut Connection,
    has_users: bool,
) -> SaslHandshakeResponse {
    let offered = if has_users { &Mechanism::ALL[..] } else { &[] };
    let response = SaslHandshakeResponse::default()
        .with_mechanisms(offered.iter().map(|mechanism| text(mechanism.name())).collect());
    let is_known = matches!(connection.authentication, Authentication::Known);
    if is_known && !(has_users && connection.session.may_renew()) {
        return response.with_error_code(ResponseError::IllegalSaslState.code());
    }
    match offered.iter().find(|mechanism| mechanism.name() == request.mechanism.as_str()) {
        Some(mechanism) => {
            if is_known {
                connection.session.renew(*mechanism);
            }
            connection.authentication = Authentication::Chosen(*mechanism);
            response
        }
        None => {
            connection.ends = true;
            response.with_error_code(ResponseError::UnsupportedSaslMechanism.code())
        }
    }
}

pub(super) fn authenticate(
    request: &SaslAuthenticateRequest,
    connection: &mut Connection,
    users: &Users,
    machine: &mut Machine,
    authentications: &mut u64,
) -> SaslAuthenticateResponse {
    let response = SaslAuthenticateResponse::default();
    let refused = |error: ResponseError, message: String| {
        SaslAuthenticateResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(text(message)))
    };
    if matches!(connection.authentication, Authentication::Known) {
        let message = "SaslAuthenticate request received after successful authentication".to_owned();
        return refused(ResponseError::IllegalSaslState, message);
    }
    match connection.authentication.on_token(&request.auth_bytes, users, machine) {
        Ok(Progress::Continue(answer)) => response.with_auth_bytes(Bytes::from(answer)),
        Ok(Progress::Done(user, answer)) => {
            let principal = sasl::principal(&user, &connection.principal.host);
            if connection.session.renewing.is_some() && principal != connection.principal {
                connection.ends = true;
                let message = "Cannot change principals during re-authentication".to_owned();
                return refused(ResponseError::SaslAuthenticationFailed, message);
            }
            connection.principal = principal;
            *authentications += 1;
            let lifetime_ms = connection.session.begin();
            response.with_auth_bytes(Bytes::from(answer)).with_session_lifetime_ms(lifetime_ms)
        }
        Err(message) => {
            connection.ends = true;
            refused(ResponseError::SaslAuthenticationFailed, message)
        }
    }
}
