//! Sample events: kept with a flow, to try it with.

use std::sync::Arc;

use serde_json::json;

use crate::domain::event::{EventParts, SampleEvent};
use crate::domain::flow::Flow;
use crate::domain::id::{GroupId, Name};
use crate::domain::permission::Action;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::check_description;
use crate::service::error::ServiceError;
use crate::service::flows::find;
use crate::service::record::{decode, encode};

/// Sample events of one flow at most: a person chooses among them.
pub const MAX_SAMPLES: usize = 50;
/// The largest sample event, in bytes as JSON.
pub const MAX_SAMPLE: usize = 256 * 1024;
/// Names the example in the schema of a flow's event, so that no kept sample has it.
pub const EXAMPLE: &str = "example";

/// Where the sample events of a flow lie. Whoever deletes a flow deletes them with it.
pub(super) fn samples_prefix(flow: &Flow) -> String {
    format!("flow-sample/{}/{}/", flow.group, flow.id)
}

fn sample_key(flow: &Flow, name: &Name) -> String {
    format!("{}{name}", samples_prefix(flow))
}

impl Service {
    /// A flow's sample events, by name.
    pub fn list_samples(&self, actor: &Actor, group: &GroupId, flow: &str) -> Result<Vec<SampleEvent>, ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::ListSamples)?;
        self.samples(&flow)
    }

    /// Keeps an event with a flow, in place of the one of the same name; answers whether there was none.
    pub async fn save_sample(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        name: Name,
        description: String,
        event: EventParts,
    ) -> Result<(SampleEvent, bool), ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::SaveSample)?;
        check_description(&description)?;
        if name.as_str() == EXAMPLE {
            let message =
                format!("\"{EXAMPLE}\" is the example in the schema of the flow's event. Choose another name");
            return Err(ServiceError::Invalid(message));
        }
        event.body().map_err(ServiceError::Invalid)?;
        let sample = SampleEvent { name, description, event, saved: self.now() };
        let value = encode(&sample);
        if value.len() > MAX_SAMPLE {
            return Err(ServiceError::TooLarge { limit: MAX_SAMPLE as u64 });
        }
        let mut edit = self.edit(actor, group, Action::SaveSample).await?;
        let flow = find(edit.catalog(), group, flow.id.as_str())?;
        let samples = self.samples(&flow)?;
        let is_new = !samples.iter().any(|kept| kept.name == sample.name);
        if is_new && samples.len() >= MAX_SAMPLES {
            let message =
                format!("The flow has {MAX_SAMPLES} sample events already, which is the most. Delete one first");
            return Err(ServiceError::Conflict(message));
        }
        let key = sample_key(&flow, &sample.name);
        edit.note_beside(&key, (!is_new).then(|| json!({})), Some(json!({"flow": flow.id, "size": value.len()})));
        edit.put_beside(key, value);
        edit.save().await?;
        Ok((sample, is_new))
    }

    /// Deletes a sample event.
    pub async fn delete_sample(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        name: &Name,
    ) -> Result<(), ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::DeleteSample)?;
        let mut edit = self.edit(actor, group, Action::DeleteSample).await?;
        self.find_sample(&flow, name)?;
        let key = sample_key(&flow, name);
        edit.note_beside(&key, Some(json!({"flow": flow.id})), None);
        edit.remove_beside(&key);
        edit.save().await
    }

    /// One sample event of a flow.
    pub(super) fn find_sample(&self, flow: &Flow, name: &Name) -> Result<SampleEvent, ServiceError> {
        let record = self.store.get(&sample_key(flow, name));
        let record = record.map_err(ServiceError::internal("reading a sample event"))?;
        decode(&record.ok_or(ServiceError::NotFound { what: "Sample event" })?.value)
    }

    fn samples(&self, flow: &Flow) -> Result<Vec<SampleEvent>, ServiceError> {
        let records = self.store.scan(&samples_prefix(flow), None, MAX_SAMPLES);
        let records = records.map_err(ServiceError::internal("reading sample events"))?;
        records.iter().map(|(_, record)| decode(&record.value)).collect()
    }
}
