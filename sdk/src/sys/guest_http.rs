//! Outbound HTTP of a connector, over `wasi:http`.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, HeaderError, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use wasip2::io::streams::{OutputStream, StreamError};

use crate::http::{Content, Outgoing, Response};
use crate::{Error, Pairs, Result};

/// How much of an answer is read at once, in bytes.
const CHUNK: u64 = 64 * 1024;

pub(crate) fn send(outgoing: Outgoing) -> Result<Response> {
    let request = OutgoingRequest::new(headers(&outgoing)?);
    let scheme = if outgoing.scheme == "http" { Scheme::Http } else { Scheme::Https };
    request.set_method(&method(&outgoing.method)).map_err(|()| invalid("method"))?;
    request.set_scheme(Some(&scheme)).map_err(|()| invalid("scheme"))?;
    request.set_authority(Some(&outgoing.authority)).map_err(|()| invalid("host"))?;
    request.set_path_with_query(Some(&outgoing.path_and_query)).map_err(|()| invalid("path"))?;
    let body = match outgoing.content {
        Content::None => None,
        _ => Some(request.body().map_err(|()| invalid("body"))?),
    };
    let future = outgoing_handler::handle(request, options(&outgoing)?).map_err(refusal)?;
    // An app may answer before it took the whole body, so a failure to write is told only when no answer comes.
    let written = body.map_or(Ok(()), |body| write_body(body, outgoing.content));
    future.subscribe().block();
    match future.get() {
        Some(Ok(Ok(answer))) => read_answer(answer, outgoing.limit),
        Some(Ok(Err(code))) => Err(refusal(code)),
        Some(Err(())) | None => Err(written.err().unwrap_or_else(|| invalid("answer"))),
    }
}

fn headers(outgoing: &Outgoing) -> Result<Fields> {
    let fields = Fields::new();
    for (name, value) in outgoing.headers.iter() {
        fields.append(name, value.as_bytes()).map_err(|error| header_refusal(name, &error))?;
    }
    let length = match &outgoing.content {
        Content::None => return Ok(fields),
        Content::Bytes(bytes) => bytes.len() as u64,
        Content::Blob(blob) => blob.size(),
    };
    // With its length said, the body is not sent in chunked encoding, which some apps refuse.
    fields
        .set("content-length", &[length.to_string().into_bytes()])
        .map_err(|error| header_refusal("content-length", &error))?;
    Ok(fields)
}

fn options(outgoing: &Outgoing) -> Result<Option<RequestOptions>> {
    let Some(timeout) = outgoing.timeout else { return Ok(None) };
    let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    let options = RequestOptions::new();
    options.set_connect_timeout(Some(nanoseconds)).map_err(|()| invalid("timeout"))?;
    options.set_first_byte_timeout(Some(nanoseconds)).map_err(|()| invalid("timeout"))?;
    Ok(Some(options))
}

fn write_body(body: OutgoingBody, content: Content) -> Result<()> {
    let stream = body.write().map_err(|()| invalid("body"))?;
    let written = match content {
        Content::None => Ok(()),
        Content::Bytes(bytes) => write_all(&stream, &bytes),
        Content::Blob(blob) => blob.chunks().try_for_each(|chunk| write_all(&stream, &chunk)),
    };
    let flushed = written.and_then(|()| stream.blocking_flush());
    // The stream is a child of the body and has to go before it.
    drop(stream);
    flushed.map_err(|error| stream_error(&error))?;
    OutgoingBody::finish(body, None).map_err(refusal)
}

/// Writes no more than the host permits at a time; writing more would be a fault.
fn write_all(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let permitted = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        if permitted == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = bytes.split_at(permitted.min(bytes.len()));
        stream.write(now)?;
        bytes = later;
    }
    Ok(())
}

fn read_answer(answer: IncomingResponse, limit: usize) -> Result<Response> {
    let status = answer.status();
    let headers: Pairs = answer
        .headers()
        .entries()
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase(), String::from_utf8(value).ok()?)))
        .collect();
    let body = answer.consume().map_err(|()| invalid("answer"))?;
    let bytes = read_body(&body, limit)?;
    Ok(Response { status, headers, bytes })
}

fn read_body(body: &IncomingBody, limit: usize) -> Result<Vec<u8>> {
    let stream = body.stream().map_err(|()| invalid("answer"))?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(CHUNK) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(error) => return Err(stream_error(&error)),
        }
        if bytes.len() > limit {
            return Err(too_large(format!("The app's answer is larger than {limit} bytes.")));
        }
    }
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn header_refusal(name: &str, error: &HeaderError) -> Error {
    match error {
        HeaderError::Forbidden => Error::new(
            "egress_denied",
            format!("The header {name} is not a connector's to set: the host sets it. Leave it out."),
        )
        .details(serde_json::json!({ "header": name })),
        _ => Error::new("invalid_request", format!("The header {name} is not well-formed.")),
    }
}

fn invalid(part: &str) -> Error {
    Error::new("invalid_request", format!("The request's {part} is not well-formed."))
}

fn too_large(message: String) -> Error {
    Error::new("response_too_large", message)
}

fn stream_error(error: &StreamError) -> Error {
    match error {
        StreamError::Closed => Error::new("unreachable", "The app closed the connection.").retryable(),
        StreamError::LastOperationFailed(cause) => match wasip2::http::types::http_error_code(cause) {
            Some(code) => refusal(code),
            None => Error::new("unreachable", "The connection to the app broke.").retryable(),
        },
    }
}

/// Why a request was not answered, in the words of the SDK. The host's log and step say more.
fn refusal(code: ErrorCode) -> Error {
    use ErrorCode as C;
    match code {
        C::HttpRequestDenied | C::DestinationIpProhibited => Error::new(
            "egress_denied",
            "The connection does not allow this request; the run's step names the host and what would allow it.",
        ),
        C::DnsTimeout
        | C::ConnectionTimeout
        | C::ConnectionReadTimeout
        | C::ConnectionWriteTimeout
        | C::HttpResponseTimeout => Error::new("timeout", "The app did not answer in time.").retryable(),
        C::TlsProtocolError | C::TlsCertificateError | C::TlsAlertReceived(_) => {
            Error::new("tls", "No secure connection to the app could be made; check its certificate.")
        }
        C::HttpResponseBodySize(_)
        | C::HttpResponseHeaderSectionSize(_)
        | C::HttpResponseHeaderSize(_)
        | C::HttpResponseTrailerSectionSize(_)
        | C::HttpResponseTrailerSize(_) => too_large("The app's answer is too large.".into()),
        C::HttpRequestLengthRequired
        | C::HttpRequestBodySize(_)
        | C::HttpRequestMethodInvalid
        | C::HttpRequestUriInvalid
        | C::HttpRequestUriTooLong
        | C::HttpRequestHeaderSectionSize(_)
        | C::HttpRequestHeaderSize(_)
        | C::HttpRequestTrailerSectionSize(_)
        | C::HttpRequestTrailerSize(_) => Error::new("invalid_request", "The request is not well-formed or too large."),
        C::HttpResponseTransferCoding(_)
        | C::HttpResponseContentCoding(_)
        | C::HttpUpgradeFailed
        | C::HttpProtocolError
        | C::LoopDetected
        | C::ConfigurationError => Error::new("http_protocol", "The app did not answer with proper HTTP."),
        C::ConnectionLimitReached => Error::new("overloaded", "Too many connections are open.").retryable(),
        _ => Error::new("unreachable", "The app could not be reached.").retryable(),
    }
}
