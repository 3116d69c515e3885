//! The compact schemas in `terraform/policy/schema`, which `scripts/renew-provider-schema` derives.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::messages;

/// A provider: its resources and data sources with their arguments.
#[derive(Debug, Deserialize)]
pub(crate) struct Provider {
    /// `hashicorp/<name>`.
    pub(crate) source: String,
    /// The version that this schema belongs to.
    pub(crate) version: String,
    pub(crate) provider: Block,
    pub(crate) resource: BTreeMap<String, Block>,
    pub(crate) data: BTreeMap<String, Block>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Block {
    /// `required|optional|computed <type>` by name.
    pub(crate) attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) blocks: BTreeMap<String, Nested>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Nested {
    pub(crate) nesting: String,
    pub(crate) min: i64,
    pub(crate) max: i64,
    #[serde(flatten)]
    pub(crate) block: Block,
}

pub(crate) fn all() -> Vec<Provider> {
    [
        include_str!("../../../schema/google.json"),
        include_str!("../../../schema/google-beta.json"),
        include_str!("../../../schema/aws.json"),
    ]
    .map(|text| serde_json::from_str(text).unwrap())
    .into()
}

impl Block {
    pub(super) fn message(&self) -> messages::Schema {
        messages::Schema { block: Some(self.block()) }
    }

    fn block(&self) -> messages::Block {
        let attribute = |(name, text): (&String, &String)| {
            let (need, kind) = text.split_once(' ').unwrap();
            messages::Attribute {
                name: name.clone(),
                kind: kind_of(kind).to_string().into_bytes(),
                required: need == "required",
                optional: need == "optional",
                computed: need == "computed",
            }
        };
        let nested = |(name, nested): (&String, &Nested)| messages::NestedBlock {
            type_name: name.clone(),
            block: Some(nested.block.block()),
            nesting: match nested.nesting.as_str() {
                "single" => 1,
                "list" => 2,
                "set" => 3,
                other => panic!("{name}: nesting {other}"),
            },
            min_items: nested.min,
            max_items: nested.max,
        };
        messages::Block {
            attributes: self.attributes.iter().map(attribute).collect(),
            blocks: self.blocks.iter().map(nested).collect(),
        }
    }
}

/// `list(string)` is `["list", "string"]` on the wire.
fn kind_of(text: &str) -> Value {
    match text.split_once('(') {
        Some((collection, element)) => json!([collection, kind_of(element.trim_end_matches(')'))]),
        None => json!(text),
    }
}
