//! What the methods could answer, for flows that are only tried.

use crate::types::{Channel, Channels, Posted, Profile, User};

pub(crate) fn posted() -> Posted {
    Posted { channel: "C0123456789".into(), ts: "1767323045.000100".into() }
}

pub(crate) fn user() -> User {
    User {
        id: "U0123456789".into(),
        name: "ada".into(),
        team_id: Some("T0123456789".into()),
        real_name: Some("Ada Lovelace".into()),
        tz: Some("Europe/London".into()),
        profile: Profile { email: Some("ada@example.com".into()), ..Profile::default() },
        ..User::default()
    }
}

pub(crate) fn channels() -> Channels {
    let leads = Channel { id: "C0123456789".into(), name: "leads".into(), is_member: true, ..Channel::default() };
    Channels { channels: vec![leads], next_cursor: None }
}
