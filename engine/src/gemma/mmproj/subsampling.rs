//! The shapes of the convolutions through which an audio encoder's input goes.

use serde::de::DeserializeOwned;
use serde_json::json;

use crate::checkpoint::ModelConfig;
use crate::error::{Error, Result};
use crate::gemma::ExpectedShape;

/// Two convolutions, and a projection of what they leave of the features.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subsampling {
    /// The channels after each convolution.
    pub(super) channels: [u64; 2],
    /// Height (time) and width (features) of each kernel.
    pub(super) kernels: [[u64; 2]; 2],
    /// The features of a channel after both.
    pub(super) features: u64,
    /// The hidden size of the encoder.
    pub(super) hidden: u64,
}

impl Subsampling {
    /// The shape of a tensor in the checkpoint, by its GGUF name; `projection` is that of the projection.
    pub(super) fn shape(&self, name: &str, projection: &str) -> Option<ExpectedShape> {
        let [first, second] = self.channels;
        let [[height, width], [next_height, next_width]] = self.kernels;
        Some(match name {
            "a.conv1d.0.weight" => ExpectedShape::exact([first, 1, height, width]),
            "a.conv1d.1.weight" => ExpectedShape::exact([second, first, next_height, next_width]),
            "a.conv1d.0.norm.weight" => ExpectedShape::exact([first]),
            "a.conv1d.1.norm.weight" => ExpectedShape::exact([second]),
            name if name == projection => {
                ExpectedShape::exact([self.hidden, second.saturating_mul(self.features)])
            }
            _ => return None,
        })
    }
}

/// The numbers in `config.json` under this field, else `default`.
pub(super) fn numbers<T: DeserializeOwned>(config: &ModelConfig, field: &str, default: T) -> Result<T> {
    let Some(value) = config.field(field).value() else { return Ok(default) };
    serde_json::from_value(value.clone()).map_err(|_| {
        Error::invalid(
            config.file(),
            format!("{field} is {}, not one number for each convolution", json!(value)),
        )
    })
}
