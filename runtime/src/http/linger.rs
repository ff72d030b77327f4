//! Request bodies that are read on for a moment when nobody wants the rest.
//!
//! Whoever is refused early, for want of a key or for a body too large, may still be sending. If the connection were
//! closed on the rest, the sender would see a broken connection in place of the answer that says why.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

/// How long a refused sender is listened to.
const LINGER: Duration = Duration::from_secs(2);
/// How much of a refused body is thrown away before the connection is closed on it: the longest one any trigger takes.
const LINGER_BYTES: usize = 32 << 20;

/// A request's body. What of it was not read when it is dropped is read and thrown away, within bounds.
pub struct Lingering {
    body: Option<Incoming>,
    /// Whether the sender waits to be asked for its body: it is not asked for one that nobody wants.
    expects: bool,
}

/// Gives a request's body time to end.
pub fn lingering(request: Request<Incoming>) -> Request<Lingering> {
    let expects = request.headers().contains_key(header::EXPECT);
    request.map(|body| Lingering { body: Some(body), expects })
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !self.expects && !body.is_end_stream()) else { return };
        // Without a runtime the server is gone, and so is the connection.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let mut rest = std::pin::pin!(Limited::new(body, LINGER_BYTES));
            let read = async { while let Some(Ok(_)) = rest.frame().await {} };
            // Whoever is not done by then is cut off.
            let _ = tokio::time::timeout(LINGER, read).await;
        });
    }
}
