//! What the methods could answer, for flows that are only tried.

use crate::types::{Delivery, Sent};

pub(crate) fn sent() -> Sent {
    let delivery = Delivery {
        email: "ada@example.com".into(),
        status: "sent".into(),
        id: Some("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".into()),
        ..Delivery::default()
    };
    Sent { recipients: vec![delivery] }
}
