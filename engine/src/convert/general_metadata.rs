//! What a file says about its model: name, size, recommended sampling.

use super::model_name::{self, ModelName};
use super::planned_tensor::PlannedTensor;
use crate::checkpoint::ModelFiles;
use crate::error::Result;
use crate::gguf::{GgufMetadata, MetadataValue};

/// What `generation_config.json` recommends.
pub(super) fn sampling(files: &ModelFiles, out: &mut GgufMetadata) -> Result<()> {
    let Some(source) = files.open("generation_config.json")? else { return Ok(()) };
    let bytes = crate::io::read_source(&*source)?;
    // not every model has a valid one, and it is only advice
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

/// What experts there are beside the first count once in the label, which says how many there are.
fn size_label(chosen: &[PlannedTensor]) -> String {
    let experts: Vec<&PlannedTensor> =
        chosen.iter().filter(|c| c.name.contains("_exps.") && c.shape.len() > 2).collect();
    let elements =
        |chosen: &mut dyn Iterator<Item = &PlannedTensor>| chosen.map(PlannedTensor::elements).sum::<u64>();
    let (all, of_experts) = (elements(&mut chosen.iter()), elements(&mut experts.iter().copied()));
    let each: u64 = experts.iter().map(|c| c.elements() / c.shape[0].max(1)).sum();
    match experts.len() as u64 {
        0 => model_name::size_label(all),
        count => {
            let number = experts.iter().map(|c| c.shape[0]).sum::<u64>() / count;
            format!("{number}x{}", model_name::size_label(all - of_experts + each))
        }
    }
}

pub(super) fn naming(folder: &str, chosen: &[PlannedTensor], out: &mut GgufMetadata) {
    let parameters = chosen.iter().map(PlannedTensor::elements).sum();
    let mut name = ModelName::of(folder, parameters);
    name.size_label.get_or_insert_with(|| size_label(chosen));
    name.write(out);
}
