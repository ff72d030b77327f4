//! A run's log as it is written: a line of JSON for each line of the log, and a last one for the run.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::header;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use crate::domain::id::GroupId;
use crate::domain::run::{LogLine, Run};
use crate::http::ApiState;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::runs::RunView;
use crate::service::access::Actor;
use crate::service::error::ServiceError;
use crate::service::run_once::RunOnce;

/// The media type of an answer that is followed.
pub const NDJSON: &str = "application/x-ndjson";

/// A line of an answer that is followed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Followed {
    /// A line of the log.
    Log(LogLine),
    /// The run, when it has ended: the last line.
    Run(Box<RunView>),
    /// Why there is no run to show, in place of it.
    Problem(ProblemBody),
}

/// Runs a flow once, and answers its log as it is written. The run goes on when the caller goes away.
pub(super) async fn run_once(
    api: ApiState,
    actor: Actor,
    group: GroupId,
    flow: String,
    once: RunOnce,
) -> Result<Response, Problem> {
    let (listener, mut lines) = mpsc::unbounded_channel();
    let once = RunOnce { listener: Some(listener), ..once };
    let run = tokio::spawn(async move { api.service.run_once(&actor, &group, &flow, once).await });
    let run = async { run.await.map_err(ServiceError::internal("running a flow once")).flatten() };
    // Whoever listens is let go when the run has ended, or did not begin.
    let Some(first) = lines.recv().await else {
        return Ok(respond(Body::from(line(&ended(Ok(run.await?))))));
    };
    let rest = stream::unfold(lines, async |mut lines| Some((lines.recv().await?, lines)));
    let log = stream::iter([first]).chain(rest).map(Followed::Log);
    let whole = log.chain(stream::once(async { ended(run.await) }));
    Ok(respond(Body::from_stream(whole.map(|followed| Ok::<_, std::convert::Infallible>(line(&followed))))))
}

fn ended(run: Result<Run, ServiceError>) -> Followed {
    match run {
        Ok(run) => Followed::Run(Box::new(run.into())),
        Err(error) => Followed::Problem(Problem::from(error).into_body()),
    }
}

fn line(followed: &Followed) -> Bytes {
    let mut line = serde_json::to_vec(followed).expect("answers of the API have text keys");
    line.push(b'\n');
    line.into()
}

fn respond(body: Body) -> Response {
    ([(header::CONTENT_TYPE, NDJSON)], body).into_response()
}
