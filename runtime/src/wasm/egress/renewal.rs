use std::sync::Arc;

use futures::future::BoxFuture;

use crate::domain::grant::Grant;

/// Gives a call newer credentials when the app refused the ones it had (status 401). The service layer implements it.
pub trait Renewal: Send + Sync + 'static {
    /// The same grant with newer credentials, or nothing where there are none.
    fn renew<'a>(&'a self, refused: &'a Arc<Grant>) -> BoxFuture<'a, Option<Arc<Grant>>>;
}
