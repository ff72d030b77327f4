//! What a person sees while a module is on its way: the phase, and for how long it has lasted.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Body;

use crate::cli::output::size;

/// Parts a module is sent in: small enough to see the upload go on.
const PART: usize = 64 * 1024;
const REDRAW: Duration = Duration::from_millis(100);

/// A spinner on standard error, where that is a terminal; otherwise nothing is shown.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn begin() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(REDRAW);
        Self(bar)
    }

    /// The module as a body that shows how far it was sent. Afterwards it is the server's turn; it does not say which of
    /// its checks it is at.
    pub(super) fn upload(&self, module: Bytes) -> Body {
        let (bar, whole) = (self.0.clone(), module.len());
        bar.set_message(format!("uploading {}", size(whole as u64)));
        let parts = (0..whole.div_ceil(PART)).map(move |part| {
            let (begin, end) = (part * PART, ((part + 1) * PART).min(whole));
            if end == whole {
                bar.set_message("uploaded; the server checks and compiles it");
                bar.reset_elapsed();
            } else {
                bar.set_message(format!("uploading {} of {}", size(end as u64), size(whole as u64)));
            }
            Ok::<_, std::convert::Infallible>(module.slice(begin..end))
        });
        Body::wrap_stream(stream::iter(parts))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
