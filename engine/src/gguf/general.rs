//! What a file says about its model: name, size, recommended sampling.

use super::chosen::Chosen;
use super::{Metadata, Value, name};
use crate::Result;
use crate::model::Model;

/// What `generation_config.json` recommends.
pub(super) fn sampling(model: &Model, out: &mut Metadata) -> Result<()> {
    let Some(source) = model.companion("generation_config.json")? else { return Ok(()) };
    let bytes = crate::io::read_source(&*source)?;
    // not every model has a valid one, and it is only advice
    let Ok(config) = serde_json::from_slice::<serde_json::Value>(&bytes) else { return Ok(()) };
    let number = |key: &str| config.get(key).and_then(serde_json::Value::as_f64).map(|n| n as f32);
    let whole =
        |key: &str| config.get(key).and_then(serde_json::Value::as_i64).and_then(|n| i32::try_from(n).ok());
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.set(&format!("general.sampling.{key}"), value);
        }
    };
    let float = |key: &str| number(key).map(Value::F32);
    let int = |key: &str| whole(key).map(Value::I32);
    set("sequence", config.get("sequence").and_then(|v| v.as_str()).map(Value::from));
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
fn size_label(chosen: &[Chosen]) -> String {
    let experts: Vec<&Chosen> =
        chosen.iter().filter(|c| c.name.contains("_exps.") && c.shape.len() > 2).collect();
    let elements = |chosen: &mut dyn Iterator<Item = &Chosen>| chosen.map(Chosen::elements).sum::<u64>();
    let (all, of_experts) = (elements(&mut chosen.iter()), elements(&mut experts.iter().copied()));
    let each: u64 = experts.iter().map(|c| c.elements() / c.shape[0].max(1)).sum();
    match experts.len() as u64 {
        0 => name::size_label(all),
        count => {
            let number = experts.iter().map(|c| c.shape[0]).sum::<u64>() / count;
            format!("{number}x{}", name::size_label(all - of_experts + each))
        }
    }
}

pub(super) fn naming(folder: &str, chosen: &[Chosen], out: &mut Metadata) {
    let parameters = chosen.iter().map(Chosen::elements).sum();
    let mut name = name::Name::of(folder, parameters);
    name.size_label.get_or_insert_with(|| size_label(chosen));
    name.write(out);
}
