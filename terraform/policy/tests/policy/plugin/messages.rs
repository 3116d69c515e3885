//! The messages of Terraform's plugin protocol, version 6, that a provider without state needs:
//! <https://github.com/hashicorp/terraform/blob/main/docs/plugin-protocol/tfplugin6.6.proto>.

use std::collections::HashMap;

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct DynamicValue {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) msgpack: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) json: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Attribute {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    /// The type, in JSON.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) kind: Vec<u8>,
    #[prost(bool, tag = "4")]
    pub(super) required: bool,
    #[prost(bool, tag = "5")]
    pub(super) optional: bool,
    #[prost(bool, tag = "6")]
    pub(super) computed: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NestedBlock {
    #[prost(string, tag = "1")]
    pub(super) type_name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) block: Option<Block>,
    /// 1 single, 2 list, 3 set.
    #[prost(int32, tag = "3")]
    pub(super) nesting: i32,
    #[prost(int64, tag = "4")]
    pub(super) min_items: i64,
    #[prost(int64, tag = "5")]
    pub(super) max_items: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Block {
    #[prost(message, repeated, tag = "2")]
    pub(super) attributes: Vec<Attribute>,
    #[prost(message, repeated, tag = "3")]
    pub(super) blocks: Vec<NestedBlock>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Schema {
    #[prost(message, optional, tag = "2")]
    pub(super) block: Option<Block>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Schemas {
    #[prost(message, optional, tag = "1")]
    pub(super) provider: Option<Schema>,
    #[prost(map = "string, message", tag = "2")]
    pub(super) resources: HashMap<String, Schema>,
    #[prost(map = "string, message", tag = "3")]
    pub(super) data_sources: HashMap<String, Schema>,
}

/// The common fields of requests for a resource or data source; fields that a method does not use are empty.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Request {
    #[prost(string, tag = "1")]
    pub(super) type_name: String,
    /// The configuration, or the prior state.
    #[prost(message, optional, tag = "2")]
    pub(super) first: Option<DynamicValue>,
    /// The proposed or planned state.
    #[prost(message, optional, tag = "3")]
    pub(super) second: Option<DynamicValue>,
}

/// A response with a state as its first field.
#[derive(Clone, PartialEq, Message)]
pub(super) struct State {
    #[prost(message, optional, tag = "1")]
    pub(super) state: Option<DynamicValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Diagnostic {
    /// 1 error, 2 warning.
    #[prost(int32, tag = "1")]
    pub(super) severity: i32,
    #[prost(string, tag = "2")]
    pub(super) summary: String,
}

impl Diagnostic {
    pub(super) fn error(summary: String) -> Self {
        Self { severity: 1, summary }
    }

    pub(super) fn warning(summary: String) -> Self {
        Self { severity: 2, summary }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ValidateRequest {
    #[prost(string, tag = "1")]
    pub(super) type_name: String,
}

/// The response to `ValidateResourceConfig`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Validated {
    #[prost(message, repeated, tag = "1")]
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// The response to `ApplyResourceChange`. The legacy type system permits a result that differs from the plan, as the
/// results of the real providers may.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Applied {
    #[prost(message, optional, tag = "1")]
    pub(super) state: Option<DynamicValue>,
    #[prost(message, repeated, tag = "3")]
    pub(super) diagnostics: Vec<Diagnostic>,
    #[prost(bool, tag = "4")]
    pub(super) legacy_type_system: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ConfigureRequest {
    #[prost(message, optional, tag = "2")]
    pub(super) config: Option<DynamicValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ImportRequest {
    #[prost(string, tag = "1")]
    pub(super) type_name: String,
    #[prost(string, tag = "2")]
    pub(super) id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ImportedResource {
    #[prost(string, tag = "1")]
    pub(super) type_name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) state: Option<DynamicValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Imported {
    #[prost(message, repeated, tag = "1")]
    pub(super) resources: Vec<ImportedResource>,
    #[prost(message, repeated, tag = "2")]
    pub(super) diagnostics: Vec<Diagnostic>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RawState {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) json: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UpgradeRequest {
    #[prost(message, optional, tag = "3")]
    pub(super) raw_state: Option<RawState>,
}
