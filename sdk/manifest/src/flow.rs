//! What a flow says about itself: what its `describe` export returns, as JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a flow says about itself. All of it is optional: a flow that says nothing is not checked before it runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowManifest {
    /// JSON Schema of its event's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Value>,
    /// JSON Schema of its answer's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    /// The slots it opens, all of them; absent where it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<Vec<SlotUse>>,
}

/// A slot that a flow opens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlotUse {
    /// Its name.
    pub name: String,
    /// The connector of which it wants a connection.
    pub connector: String,
    /// The methods it calls there.
    #[serde(default)]
    pub methods: Vec<MethodUse>,
}

/// A method that a flow calls, with the schemas it was built for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodUse {
    /// Its name.
    pub name: String,
    /// JSON Schema of the input that the flow sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// JSON Schema of the output that the flow reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
}
