//! How configuration lies in the store: its keys, and JSON with a version.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::api_key::ApiKey;
use crate::domain::app_registration::AppRegistration;
use crate::domain::app_trigger::AppTrigger;
use crate::domain::connection::Connection;
use crate::domain::connector::Connector;
use crate::domain::flow::Flow;
use crate::domain::group::Group;
use crate::domain::published_app::PublishedApp;
use crate::domain::schedule::Schedule;
use crate::domain::trigger::Trigger;
use crate::domain::user::{Member, Session, User};
use crate::service::error::ServiceError;

/// The version of the records' JSON. A later server reads an earlier version; the other way round it refuses.
const VERSION: u32 = 1;

/// A record of the catalog.
#[derive(Clone)]
pub enum Record {
    /// A group.
    Group(Arc<Group>),
    /// An API key.
    ApiKey(Arc<ApiKey>),
    /// A connector.
    Connector(Arc<Connector>),
    /// A connection.
    Connection(Arc<Connection>),
    /// An app registration.
    AppRegistration(Arc<AppRegistration>),
    /// A flow.
    Flow(Arc<Flow>),
    /// A trigger.
    Trigger(Arc<Trigger>),
    /// A flow offered as an app.
    PublishedApp(Arc<PublishedApp>),
    /// A schedule.
    Schedule(Arc<Schedule>),
    /// An app trigger.
    AppTrigger(Arc<AppTrigger>),
    /// A user.
    User(Arc<User>),
    /// That a user belongs to a group.
    Member(Arc<Member>),
    /// A login.
    Session(Arc<Session>),
}

/// The prefixes under which the catalog's records lie.
pub const PREFIXES: [&str; 13] = [
    "group/",
    "api-key/",
    "connector/",
    "connection/",
    "app-registration/",
    "flow/",
    "trigger/",
    "published-app/",
    "schedule/",
    "app-trigger/",
    "user/",
    "member/",
    "session/",
];

impl Record {
    /// Its key in the store.
    pub fn key(&self) -> String {
        match self {
            Self::Group(group) => format!("group/{}", group.id),
            Self::ApiKey(key) => format!("api-key/{}/{}", key.group, key.id),
            Self::Connector(connector) => format!("connector/{}/{}", connector.place(), connector.name),
            Self::Connection(connection) => format!("connection/{}/{}", connection.group, connection.id),
            Self::AppRegistration(registration) => {
                format!("app-registration/{}/{}", registration.sealed_under(), registration.id)
            }
            Self::Flow(flow) => format!("flow/{}/{}", flow.group, flow.id),
            Self::Trigger(trigger) => format!("trigger/{}/{}", trigger.group, trigger.id),
            Self::PublishedApp(app) => format!("published-app/{}/{}", app.group, app.slug),
            Self::Schedule(schedule) => format!("schedule/{}/{}", schedule.group, schedule.id),
            Self::AppTrigger(trigger) => format!("app-trigger/{}/{}", trigger.group, trigger.id),
            Self::User(user) => format!("user/{}", user.id),
            Self::Member(member) => format!("member/{}/{}", member.group, member.user),
            Self::Session(session) => format!("session/{}", session.id),
        }
    }

    /// Its value in the store.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Group(record) => encode(record),
            Self::ApiKey(record) => encode(record),
            Self::Connector(record) => encode(record),
            Self::Connection(record) => encode(record),
            Self::AppRegistration(record) => encode(record),
            Self::Flow(record) => encode(record),
            Self::Trigger(record) => encode(record),
            Self::PublishedApp(record) => encode(record),
            Self::Schedule(record) => encode(record),
            Self::AppTrigger(record) => encode(record),
            Self::User(record) => encode(record),
            Self::Member(record) => encode(record),
            Self::Session(record) => encode(record),
        }
    }

    /// What kind of thing it is, and its id.
    pub fn name(&self) -> (String, String) {
        let key = self.key();
        let (noun, id) = key.split_once('/').expect("keys begin with a noun");
        let id = id.rsplit('/').next().unwrap_or(id);
        (noun.to_owned(), id.to_owned())
    }

    /// Its fields, for the audit log, which masks the secret ones.
    pub fn fields(&self) -> Value {
        let value = match self {
            Self::Group(record) => serde_json::to_value(record),
            Self::ApiKey(record) => serde_json::to_value(record),
            Self::Connector(record) => serde_json::to_value(record),
            Self::Connection(record) => serde_json::to_value(record),
            Self::AppRegistration(record) => serde_json::to_value(record),
            Self::Flow(record) => serde_json::to_value(record),
            Self::Trigger(record) => serde_json::to_value(record),
            Self::PublishedApp(record) => serde_json::to_value(record),
            Self::Schedule(record) => serde_json::to_value(record),
            Self::AppTrigger(record) => serde_json::to_value(record),
            Self::User(record) => serde_json::to_value(record),
            Self::Member(record) => serde_json::to_value(record),
            Self::Session(record) => serde_json::to_value(record),
        };
        value.expect("records have text keys only")
    }

    /// Reads a record back.
    pub fn decode(key: &str, value: &[u8]) -> Result<Self, ServiceError> {
        let noun = key.split('/').next().unwrap_or_default();
        Ok(match noun {
            "group" => Self::Group(decode(value)?),
            "api-key" => Self::ApiKey(decode(value)?),
            "connector" => Self::Connector(decode(value)?),
            "connection" => Self::Connection(decode(value)?),
            "app-registration" => Self::AppRegistration(decode(value)?),
            "flow" => Self::Flow(decode(value)?),
            "trigger" => Self::Trigger(decode(value)?),
            "published-app" => Self::PublishedApp(decode(value)?),
            "schedule" => Self::Schedule(decode(value)?),
            "app-trigger" => Self::AppTrigger(decode(value)?),
            "user" => Self::User(decode(value)?),
            "member" => Self::Member(decode(value)?),
            "session" => Self::Session(decode(value)?),
            _ => return Err(ServiceError::internal("reading a record of the catalog")(format!("unknown key {key}"))),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    record: T,
}

/// A record as JSON with its version.
pub fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(&Versioned { v: VERSION, record }).expect("records have text keys only")
}

/// A record from JSON with its version.
pub fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, ServiceError> {
    let versioned: Versioned<T> = serde_json::from_slice(value).map_err(ServiceError::internal("reading a record"))?;
    if versioned.v > VERSION {
        let message = format!("the record has version {}, this server reads up to {VERSION}", versioned.v);
        return Err(ServiceError::internal("reading a record")(message));
    }
    Ok(versioned.record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Environment;

    fn group() -> Record {
        let environments = vec![Environment::production()];
        Record::Group(Arc::new(Group::new("acme".parse().unwrap(), environments, jiff::Timestamp::UNIX_EPOCH)))
    }

    #[test]
    fn a_record_reads_back_under_its_key() {
        let record = group();
        assert_eq!(record.key(), "group/acme");
        let Record::Group(read) = Record::decode(&record.key(), &record.encode()).unwrap() else { panic!("no group") };
        assert_eq!(read.environments, [Environment::production()]);
    }

    #[test]
    fn a_field_that_came_later_may_be_missing_and_a_later_version_is_refused() {
        let record = |version| {
            let record = serde_json::json!({"id": "acme", "environments": [], "created": "1970-01-01T00:00:00Z"});
            serde_json::to_vec(&serde_json::json!({"v": version, "record": record})).unwrap()
        };
        assert!(Record::decode("group/acme", &record(VERSION)).is_ok());
        let error = Record::decode("group/acme", &record(VERSION + 1)).err().unwrap();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "the record has version 2, this server reads up to 1");
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        for (key, value) in [("group/acme", &b"{"[..]), ("group/acme", b"{}"), ("gruop/acme", &group().encode())] {
            assert!(Record::decode(key, value).is_err(), "{key}");
        }
    }
}
