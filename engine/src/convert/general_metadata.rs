//! The `general.*` keys: name, size label, recommended sampling.

use super::GgufOptions;
use super::model_name::{self, ModelName};
use super::planned_tensor::PlannedTensor;
use crate::checkpoint::ModelFiles;
use crate::error::Result;
use crate::gguf::{GgufFile, GgufMetadata, MetadataValue};

/// Sets the sampling parameters of `generation_config.json`.
pub(super) fn sampling(files: &ModelFiles, out: &mut GgufMetadata) -> Result<()> {
    let Some(source) = files.open("generation_config.json")? else { return Ok(()) };
    let bytes = crate::io::read_source(&*source)?;
    // only a recommendation: an invalid file is ignored, as the converter does
    let Ok(config) = serde_json::from_slice::<serde_json::Value>(&bytes) else { return Ok(()) };
    let number = |key: &str| config.get(key).and_then(serde_json::Value::as_f64).map(|n| n as f32);
    let whole =
        |key: &str| config.get(key).and_then(serde_json::Value::as_i64).and_then(|n| i32::try_from(n).ok());
    let mut set = |key: &str, value: Option<MetadataValue>| {
        if let Some(value) = value {
            out.set(&format!("general.sampling.{key}"), value);
        }
    };
    let float = |key: &str| number(key).map(MetadataValue::F32);
    let int = |key: &str| whole(key).map(MetadataValue::I32);
    set("sequence", config.get("sequence").and_then(|v| v.as_str()).map(MetadataValue::from));
    set("top_k", int("top_k"));
    set("top_p", float("top_p"));
    set("min_p", float("min_p"));
    set("xtc_probability", float("xtc_probability"));
    set("xtc_threshold", float("xtc_threshold"));
    set("temp", float("temperature"));
    set("penalty_last_n", int("penalty_last_n"));
    set("penalty_repeat", float("penalty_repeat").or_else(|| float("repetition_penalty")));
    set("mirostat", int("mirostat"));
    set("mirostat_tau", float("mirostat_tau"));
    set("mirostat_eta", float("mirostat_eta"));
    Ok(())
}

/// The size label. With experts, it counts the parameters of one expert, after the number of experts.
fn size_label(tensors: &[PlannedTensor]) -> String {
    let experts: Vec<&PlannedTensor> =
        tensors.iter().filter(|c| c.name.contains("_exps.") && c.shape.len() > 2).collect();
    let elements =
        |tensors: &mut dyn Iterator<Item = &PlannedTensor>| tensors.map(PlannedTensor::elements).sum::<u64>();
    let (all, of_experts) = (elements(&mut tensors.iter()), elements(&mut experts.iter().copied()));
    let each: u64 = experts.iter().map(|c| c.elements() / c.shape[0].max(1)).sum();
    match experts.len() as u64 {
        0 => model_name::size_label(all),
        count => {
            let number = experts.iter().map(|c| c.shape[0]).sum::<u64>() / count;
            format!("{number}x{}", model_name::size_label(all - of_experts + each))
        }
    }
}

/// A key that names a model, and its value.
pub(super) type Label = (String, MetadataValue);

/// The keys that name the model, which are not in any input, as a file has them.
pub(super) fn labels_of(file: &GgufFile) -> Vec<Label> {
    const LABELS: [&str; 6] = ["name", "version", "organization", "finetune", "basename", "size_label"];
    let is_label = |key: &str| key.strip_prefix("general.").is_some_and(|label| LABELS.contains(&label));
    let labels = file.key_values.iter().filter(|pair| is_label(&pair.key));
    labels.map(|pair| (pair.key.clone(), pair.value.clone())).collect()
}

/// Sets the keys that name the model: those of the options, else those derived from the folder's name.
pub(super) fn naming(options: &GgufOptions, tensors: &[PlannedTensor], out: &mut GgufMetadata) {
    if let Some(labels) = &options.labels {
        return labels.iter().for_each(|(key, value)| out.set(key, value.clone()));
    }
    let parameters = tensors.iter().map(PlannedTensor::elements).sum();
    let mut name = ModelName::of(&options.folder, parameters);
    name.size_label.get_or_insert_with(|| size_label(tensors));
    name.write(out);
}
