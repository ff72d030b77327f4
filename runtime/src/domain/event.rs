//! Events that people write, keep as samples, or take from a recorded run, to try a flow with.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::id::Name;
use crate::domain::run::EventRecord;

/// Names with values, some of which may come twice. Read from a JSON object or a list of pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenPairs")]
pub struct Pairs(pub Vec<(String, String)>);

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenPairs {
    Object(BTreeMap<String, String>),
    List(Vec<(String, String)>),
}

impl From<WrittenPairs> for Pairs {
    fn from(written: WrittenPairs) -> Self {
        match written {
            WrittenPairs::Object(object) => Self(object.into_iter().collect()),
            WrittenPairs::List(list) => Self(list),
        }
    }
}

/// An event as people write it. What is absent is as another one has it, or as the trigger would.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EventParts {
    /// The request's method; one that the trigger takes when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "POST")]
    pub method: Option<String>,
    /// The path below the trigger's URL; `/` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/")]
    pub path: Option<String>,
    /// Parameters of the trigger's path template.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"order": "17"}))]
    pub params: Option<Pairs>,
    /// Query parameters, as an object or as a list of pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"page": "2"}))]
    pub query: Option<Pairs>,
    /// Headers, as an object or as a list of pairs. Those of a recorded event go all with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"x-source": "shop"}))]
    pub headers: Option<Pairs>,
    /// The body, where it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"order": 17}))]
    pub event: Option<Value>,
    /// The body's bytes, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "YSBib2R5")]
    pub body_base64: Option<String>,
}

/// An event that is kept with a flow, to try it with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleEvent {
    /// Its name, unique in its flow.
    pub name: Name,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The event.
    pub event: EventParts,
    /// When it was saved last.
    pub saved: Timestamp,
}

impl EventParts {
    /// The body, where one is given.
    pub fn body(&self) -> Result<Option<Bytes>, String> {
        match (&self.event, &self.body_base64) {
            (Some(_), Some(_)) => Err("An event has one body: event (JSON) or body_base64. Leave one out".to_owned()),
            (Some(json), None) => Ok(Some(Bytes::from(json.to_string()))),
            (None, Some(text)) => {
                let bytes = BASE64.decode(text.trim());
                let bytes =
                    bytes.map_err(|error| format!("body_base64 is not base64: {error}. Encode the body's bytes"))?;
                Ok(Some(Bytes::from(bytes)))
            }
            (None, None) => Ok(None),
        }
    }

    /// These parts, and those of another event for what is absent.
    pub fn over(self, other: Self) -> Self {
        let has_body = self.event.is_some() || self.body_base64.is_some();
        Self {
            method: self.method.or(other.method),
            path: self.path.or(other.path),
            params: self.params.or(other.params),
            query: self.query.or(other.query),
            headers: self.headers.or(other.headers),
            event: if has_body { self.event } else { other.event },
            body_base64: if has_body { self.body_base64 } else { other.body_base64 },
        }
    }

    /// These parts, and those of a recorded event for what is absent. What was not recorded has to be given.
    pub fn over_record(self, record: &EventRecord) -> Result<Self, String> {
        let mut missing = Vec::new();
        if self.event.is_none() && self.body_base64.is_none() && record.body.truncated {
            missing.push(format!(
                "its body of {} bytes was not recorded whole: give it as event or body_base64",
                record.size
            ));
        }
        if self.headers.is_none() {
            match &record.headers {
                None => missing.push("its headers were not recorded: give those that the flow needs as headers".to_owned()),
                Some(_) if !record.headers_hidden.is_empty() => missing.push(format!(
                    "the values of some headers are not recorded, as they may be secret: give all that the flow needs as headers. Not recorded: {}",
                    record.headers_hidden.join(", ")
                )),
                Some(_) => {}
            }
        }
        if !missing.is_empty() {
            return Err(format!("The recorded event cannot be used as it is: {}", missing.join("; and ")));
        }
        let body_base64 = match record.body.base64 {
            true => record.body.text.clone(),
            false => BASE64.encode(&record.body.text),
        };
        Ok(self.over(Self {
            method: Some(record.method.clone()),
            path: Some(record.path.clone()),
            params: Some(Pairs(record.params.clone())),
            query: Some(Pairs(record.query.clone())),
            headers: record.headers.clone().map(Pairs),
            event: None,
            body_base64: Some(body_base64),
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::run::{MAX_RECORDED, Recorded};

    fn record(body: &[u8], headers: &[(&str, &str)]) -> EventRecord {
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut record = EventRecord {
            method: "PUT".to_owned(),
            path: "/a".to_owned(),
            params: vec![("id".to_owned(), "7".to_owned())],
            query: Vec::new(),
            content_type: None,
            headers: None,
            headers_hidden: Vec::new(),
            size: body.len() as u64,
            body: Recorded::bytes(body),
        };
        record.set_headers(&headers);
        record
    }

    #[test]
    fn a_recorded_event_comes_back_as_it_was() {
        for body in [&b"{\"a\": 1}"[..], &[0xff, 0]] {
            let parts = EventParts::default().over_record(&record(body, &[("x-a", "1")])).unwrap();
            assert_eq!(parts.body().unwrap().unwrap(), body);
            assert_eq!(parts.headers, Some(Pairs(vec![("x-a".into(), "1".into())])));
            assert_eq!((parts.method.as_deref(), parts.path.as_deref()), (Some("PUT"), Some("/a")));
            assert_eq!(parts.params, Some(Pairs(vec![("id".into(), "7".into())])));
        }
    }

    #[test]
    fn what_was_not_recorded_is_said_and_has_to_be_given() {
        let cut = record(&vec![b'a'; MAX_RECORDED + 1], &[]);
        let error = EventParts::default().over_record(&cut).unwrap_err();
        assert!(error.contains("16385 bytes was not recorded whole"), "{error}");
        let given = EventParts { event: Some(json!(1)), ..EventParts::default() };
        assert_eq!(given.over_record(&cut).unwrap().body().unwrap().unwrap(), "1");

        let hidden = record(b"", &[("x-gitlab-token", "secret"), ("x-a", "1")]);
        let error = EventParts::default().over_record(&hidden).unwrap_err();
        assert!(error.ends_with("Not recorded: x-gitlab-token"), "{error}");
        let old = EventRecord { headers: None, ..record(b"", &[]) };
        assert!(EventParts::default().over_record(&old).unwrap_err().contains("headers were not recorded"));
        let given = EventParts { headers: Some(Pairs::default()), ..EventParts::default() };
        assert_eq!(given.over_record(&old).unwrap().headers, Some(Pairs::default()));
    }

    #[test]
    fn an_event_has_one_body() {
        let both = EventParts { event: Some(json!(1)), body_base64: Some("YQ==".into()), ..EventParts::default() };
        assert!(both.body().is_err());
        let text = EventParts { body_base64: Some("?".into()), ..EventParts::default() };
        assert!(text.body().unwrap_err().contains("base64"));
        let read: EventParts = serde_json::from_value(json!({"query": [["a", "1"], ["a", "2"]]})).unwrap();
        assert_eq!(read.query.unwrap().0.len(), 2);
    }
}
