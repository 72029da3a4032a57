//! What is answered to which request.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, ORIGIN};
use hyper::{Method, Request, Response, StatusCode};
use kmirror::FlowStatus;
use serde_json::json;

use crate::live::Live;

/// Answers a request. Its body is not read.
pub(super) async fn answer<B>(request: &Request<B>, live: &Live, may_reload: bool) -> Response<Full<Bytes>> {
    let allowed = match request.uri().path() {
        "/livez" | "/readyz" | STATUS => [Method::GET, Method::HEAD].as_slice(),
        "/-/reload" => &[Method::POST],
        _ => {
            return text(
                StatusCode::NOT_FOUND,
                format!("there are /livez, /readyz, {STATUS} and POST /-/reload"),
            );
        }
    };
    if !allowed.contains(request.method()) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "not by this method");
        let names = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        if let Ok(names) = HeaderValue::try_from(names) {
            refused.headers_mut().insert(ALLOW, names);
        }
        return refused;
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "alive"),
        "/readyz" => readiness(&live.handle().status()),
        STATUS => status(live),
        // A page in somebody's browser may send requests here as well; it says where it is from.
        _ if !may_reload || request.headers().contains_key(ORIGIN) => text(
            StatusCode::FORBIDDEN,
            "only from this machine, where http.listen is a loopback address; or send SIGHUP",
        ),
        _ => reload(live).await,
    }
}

fn readiness(flows: &[FlowStatus]) -> Response<Full<Bytes>> {
    let waiting: Vec<&str> =
        flows.iter().filter(|flow| !flow.is_ready()).map(|flow| flow.name.as_str()).collect();
    match waiting.is_empty() {
        true => text(StatusCode::OK, "ready"),
        false => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready yet: {}", waiting.join(", "))),
    }
}

fn status(live: &Live) -> Response<Full<Bytes>> {
    match serde_json::to_value(live.status()) {
        Ok(status) => of(StatusCode::OK, "application/json", format!("{status:#}\n")),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot be written as JSON: {error}")),
    }
}

async fn reload(live: &Live) -> Response<Full<Bytes>> {
    match live.ask_to_reload().await {
        Ok(reloaded) => {
            let flows = reloaded
                .flows
                .iter()
                .map(|(flow, change)| json!({ "flow": flow, "change": change.to_string() }));
            let flows = json!({ "flows": flows.collect::<Vec<_>>() });
            of(StatusCode::OK, "application/json", format!("{flows:#}\n"))
        }
        Err(failure) => text(StatusCode::UNPROCESSABLE_ENTITY, format!("not reloaded: {failure}")),
    }
}

fn text(status: StatusCode, line: impl Into<String>) -> Response<Full<Bytes>> {
    of(status, "text/plain; charset=utf-8", line.into() + "\n")
}

fn of(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(super) const STATUS: &str = "/api/v1/status";
