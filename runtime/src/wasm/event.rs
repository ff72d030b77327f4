//! What a flow is given, and what it answers.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::wasm::error::{CallError, FaultCode};

/// What made a trigger fire. Credentials have been taken out of all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// The trigger's id.
    pub trigger: String,
    /// The request's method; `POST` for triggers that are not HTTP.
    pub method: String,
    /// The path below the trigger's URL; starts with `/`.
    pub path: String,
    /// Parameters of the trigger's path template.
    pub params: Vec<(String, String)>,
    /// Decoded query parameters.
    pub query: Vec<(String, String)>,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The raw body. Large ones reach the flow as a blob.
    pub body: Bytes,
}

/// What a flow answers, checked: it can be sent as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 200 to 599.
    pub status: StatusCode,
    /// Without those that belong to the connection (RFC 9110, section 7.6.1).
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Headers a flow cannot answer with: they belong to the connection, or follow from the body.
const NOT_FOR_FLOWS: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

impl Response {
    /// Checks what a flow returned.
    pub(super) fn check(
        status: u16,
        headers: &[(String, String)],
        header_bytes: usize,
        body: Bytes,
    ) -> Result<Self, CallError> {
        let status = StatusCode::from_u16(status)
            .ok()
            .filter(|status| (200..600).contains(&status.as_u16()))
            .ok_or_else(|| invalid(format!("the flow answered with the status {status}; it must be 200 to 599")))?;
        let size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > header_bytes {
            let message = format!("the flow answered with {size} bytes of headers; {header_bytes} are allowed");
            return Err(CallError::fault(FaultCode::OutputTooLarge, message));
        }
        let mut map = HeaderMap::with_capacity(headers.len());
        let named: Vec<&str> = headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
            .flat_map(|(_, value)| value.split(',').map(str::trim))
            .collect();
        for (name, value) in headers {
            let name: HeaderName = name
                .parse()
                .map_err(|_| invalid(format!("the flow answered with {name:?}, which is no header name")))?;
            let value = HeaderValue::from_str(value)
                .map_err(|_| invalid(format!("the flow answered with a value for {name} that no header can have")))?;
            let of_connection = named.iter().any(|other| other.eq_ignore_ascii_case(name.as_str()));
            if !of_connection && !NOT_FOR_FLOWS.contains(&name) {
                map.append(name, value);
            }
        }
        Ok(Self { status, headers: map, body })
    }
}

fn invalid(message: String) -> CallError {
    CallError::fault(FaultCode::InvalidOutput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, headers: &[(&str, &str)]) -> Result<Response, String> {
        let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Response::check(status, &headers, 100, Bytes::new()).map_err(|error| error.to_string())
    }

    #[test]
    fn drops_what_belongs_to_the_connection() {
        let headers = [
            ("Content-Type", "text/plain"),
            ("connection", "X-Hop, close"),
            ("x-hop", "1"),
            ("content-length", "999"),
            ("Set-Cookie", "a"),
            ("set-cookie", "b"),
        ];
        let response = check(200, &headers).unwrap();
        let names: Vec<_> = response.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-type", "set-cookie", "set-cookie"]);
    }

    #[test]
    fn says_what_is_wrong() {
        for (status, headers, said) in [
            (101, &[][..], "status 101"),
            (600, &[], "status 600"),
            (200, &[("a b", "")], "no header name"),
            (200, &[("a", "\r\nb: c")], "value for a"),
            (200, &[("a", &*"x".repeat(100))], "output_too_large"),
        ] {
            let error = check(status, headers).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
