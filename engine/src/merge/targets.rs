//! Matches the changes of an adapter with the tensors of the base, and unties the lm_head where they require it.

use std::mem;

use super::target_names::{TargetMatch, TargetNames};
use super::{ModelTensor, missing_factors};
use crate::checkpoint::{Checkpoint, TensorInfo};
use crate::error::{Error, Result, first_names, right_base};
use crate::gemma::{Architecture, MappedTensor, all_names, is_lm_head, is_token_embedding, lm_head_name};
use crate::peft::{Adapter, AdapterChange, AdapterTensor, ChangeKind, ModuleSpellings, is_in, module_of};

/// The tensors of the merged model, with their changes.
pub(super) struct MatchedTargets {
    pub(super) tensors: Vec<ModelTensor>,
    pub(super) untied: bool,
    /// Modules that the base lacks and whose change is zero.
    pub(super) dropped: Vec<String>,
    /// Modules on which PEFT puts no LoRA layer, whatever factors the adapter has for them.
    pub(super) untargeted: Vec<String>,
    /// Names in `modules_to_save` that neither the base nor the adapter has.
    pub(super) absent_saved: Vec<String>,
    /// Modules of the base that the configuration targets and for which the adapter has no factors.
    pub(super) missing_factors: Vec<String>,
}

/// The base's tensors without changes.
pub(super) fn untouched(base: &Checkpoint) -> Vec<ModelTensor> {
    let tensor = |(base, info): (usize, &TensorInfo)| ModelTensor {
        info: info.clone(),
        base,
        replaced: None,
        changes: Vec::new(),
    };
    base.tensors().iter().enumerate().map(tensor).collect()
}

pub(super) fn find(base: &Checkpoint, adapter: &Adapter) -> Result<MatchedTargets> {
    let names = TargetNames::new(base.tensors().iter().map(|t| t.name.as_str()));
    let mut matched = MatchedTargets {
        tensors: untouched(base),
        untied: false,
        dropped: Vec::new(),
        untargeted: Vec::new(),
        absent_saved: absent_saved(base, adapter)?,
        missing_factors: Vec::new(),
    };
    let mut lm_head = Vec::new();
    let mut unmatched = Vec::new();
    for (number, change) in adapter.changes().iter().enumerate() {
        let found = names.find(&change.target);
        let is_needless = matches!(found, TargetMatch::None) && is_zero(change)?;
        if !is_needless && !is_targeted(base, adapter, change, &found)? {
            matched.untargeted.push(change.target.clone());
            continue;
        }
        match found {
            TargetMatch::One(target) => {
                add_change(base, adapter, &mut matched.tensors[target], number, change)?;
            }
            TargetMatch::None if is_lm_head(&change.target) => lm_head.push((number, change)),
            TargetMatch::None if is_needless => matched.dropped.push(change.target.clone()),
            TargetMatch::None => unmatched.push(change.target.clone()),
            TargetMatch::Several(several) => {
                let several: Vec<&str> = several.iter().map(|i| base.tensors()[*i].name.as_str()).collect();
                let problem = format!("matches several tensors of the base: {}", several.join(", "));
                return Err(Error::tensor(adapter.location(), &change.target, problem));
            }
        }
    }
    check_saved(base, adapter, &matched.tensors)?;
    check_targeted(adapter, &matched.untargeted)?;
    if matched.dropped.len() + matched.untargeted.len() == adapter.modules() {
        unmatched = mem::take(&mut matched.dropped);
    }
    if !unmatched.is_empty() {
        return Err(unmatched_modules(adapter, unmatched));
    }
    matched.missing_factors = missing_factors::find(base, adapter, &matched.tensors)?;
    untie_lm_head(base, adapter, &mut matched, &lm_head)?;
    Ok(matched)
}

/// Whether PEFT applies a change: it ignores the factors of a module that `target_modules` does not name.
fn is_targeted(
    base: &Checkpoint,
    adapter: &Adapter,
    change: &AdapterChange,
    found: &TargetMatch,
) -> Result<bool> {
    if !change.is_of_layer() {
        return Ok(true);
    }
    let module = change.module();
    let in_base = match found {
        TargetMatch::One(target) => module_of(&base.tensors()[*target].name),
        TargetMatch::None | TargetMatch::Several(_) => module,
    };
    let spellings = ModuleSpellings { own: &[module, in_base], other: &all_names(module) };
    adapter.config().targets_module(&adapter.config_file(), spellings)
}

/// The names in `modules_to_save` that no module of base and adapter has: PEFT ignores them. A module of the base whose
/// weights the adapter lacks is refused.
fn absent_saved(base: &Checkpoint, adapter: &Adapter) -> Result<Vec<String>> {
    let unsaved = adapter.config().unsaved_modules(adapter.changes());
    let in_base = |name: &str| {
        let is_in_base = |tensor: &TensorInfo| {
            let module = module_of(&tensor.name);
            is_in(module, name) || all_names(module).iter().any(|other| is_in(other, name))
        };
        is_lm_head(&format!("{name}.weight")) || base.tensors().iter().any(is_in_base)
    };
    match unsaved.iter().find(|name| in_base(name)) {
        Some(name) => {
            let problem = format!("names {name} in modules_to_save, but its weights are not in the adapter");
            Err(Error::invalid(adapter.config_file(), problem))
        }
        None => Ok(unsaved.into_iter().map(str::to_owned).collect()),
    }
}

/// Refuses an adapter that has the weights of some modules of the language model that a name in `modules_to_save` means, and not
/// of the others, as PEFT does.
fn check_saved(base: &Checkpoint, adapter: &Adapter, tensors: &[ModelTensor]) -> Result<()> {
    for tensor in unchanged(base, tensors) {
        let module = module_of(&tensor.name);
        if let Some(name) = adapter.config().saved_as(module)
            && is_of_layer(base, tensor)?
        {
            let problem = format!(
                "names {name} in modules_to_save, but the weights of {module} are not in the adapter"
            );
            return Err(Error::invalid(adapter.config_file(), problem));
        }
    }
    Ok(())
}

/// The tensors of the base that the adapter does not change.
pub(super) fn unchanged<'a>(
    base: &'a Checkpoint,
    tensors: &[ModelTensor],
) -> impl Iterator<Item = &'a TensorInfo> {
    tensors.iter().filter(|tensor| !tensor.is_target()).map(|tensor| &base.tensors()[tensor.base])
}

/// Whether a tensor of the base is the weight of a layer in the language model that transformers loads. Encoders are not: an
/// adapter may be of the language model alone.
pub(super) fn is_of_layer(base: &Checkpoint, tensor: &TensorInfo) -> Result<bool> {
    let config = base.config();
    let Ok(architecture) = Architecture::of(config) else { return Ok(false) };
    let family = architecture.family();
    let MappedTensor::Tensor(name, Some(layer)) = family.map_tensor(&tensor.name) else { return Ok(false) };
    let Some(layers) = config.u32("num_hidden_layers")? else { return Ok(false) };
    Ok(tensor.name.ends_with(".weight")
        && layer < layers
        && !family.is_shared_kv(config, &name, layers)?
        && family.ignoring_setting(config, layer, &name)?.is_none())
}

/// Refuses an adapter none of whose factors are of a module that `target_modules` names, as PEFT does.
fn check_targeted(adapter: &Adapter, untargeted: &[String]) -> Result<()> {
    let layers = adapter.changes().iter().filter(|change| change.is_of_layer()).count();
    if untargeted.is_empty() || untargeted.len() < layers {
        return Ok(());
    }
    let problem = format!(
        "targets none of the modules that the adapter has factors for ({}): set target_modules, exclude_modules and \
         layers_to_transform to those of the training",
        first_names(untargeted)
    );
    Err(Error::invalid(adapter.config_file(), problem))
}

/// Whether a change is exactly zero, as that of a module that training never reached. A layer of Gemma 3n or 4 that uses
/// the keys and values of another has such modules in some versions of its class.
pub(crate) fn is_zero(change: &AdapterChange) -> Result<bool> {
    match &change.kind {
        // the magnitudes of DoRA are the norms of the base's rows as long as B is zero
        ChangeKind::LowRank { b, magnitude: Some(_), .. }
        | ChangeKind::Embedding { b, magnitude: Some(_), .. } => b.is_zero(),
        ChangeKind::LowRank { a, b, scaling, magnitude: None, .. }
        | ChangeKind::Embedding { a, b, scaling, magnitude: None } => {
            Ok(*scaling == 0.0 || is_zero_product(a, b)?)
        }
        ChangeKind::ExpertLowRank { a, b, scaling, .. } => {
            Ok(*scaling == 0.0 || a.is_zero()? || b.is_zero()?)
        }
        ChangeKind::LoraBias { values, scaling } => Ok(*scaling == 0.0 || values.is_zero()?),
        ChangeKind::TokenRows { .. } | ChangeKind::Replace(_) => Ok(false),
    }
}

/// Whether B·A is exactly zero.
fn is_zero_product(a: &AdapterTensor, b: &AdapterTensor) -> Result<bool> {
    let (rank, columns) = (a.shape[0] as usize, a.shape[1] as usize);
    let (right, left) = (a.read_all()?, b.read_all()?);
    // NaN times zero is not zero
    if left.iter().all(|value| *value == 0.0) && right.iter().all(|value| value.is_finite()) {
        return Ok(true);
    }
    let mut product = vec![0.0_f32; columns];
    for row in left.chunks_exact(rank) {
        product.fill(0.0);
        for (factor, right) in row.iter().zip(right.chunks_exact(columns.max(1))) {
            product.iter_mut().zip(right).for_each(|(sum, value)| *sum += factor * value);
        }
        if product.iter().any(|value| *value != 0.0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Adds a change to its target.
fn add_change(
    base: &Checkpoint,
    adapter: &Adapter,
    tensor: &mut ModelTensor,
    number: usize,
    change: &AdapterChange,
) -> Result<()> {
    if !tensor.info.dtype.is_float() {
        let problem = format!("is {}; only F32, F16 and BF16 weights can be merged into", tensor.info.dtype);
        return Err(Error::tensor(base.file_of(&base.tensors()[tensor.base]), &tensor.info.name, problem));
    }
    if let Some(stored) = replacement(change) {
        replace(tensor, stored)?;
    }
    check_shape(adapter, tensor, &change.kind)?;
    if let ChangeKind::LowRank { b, .. }
    | ChangeKind::ExpertLowRank { b, .. }
    | ChangeKind::Embedding { b, .. }
    | ChangeKind::Replace(b) = &change.kind
        && !tensor.changes.is_empty()
    {
        return Err(b.error(format!("is a second change to {}", tensor.info.name)));
    }
    tensor.changes.push(number);
    Ok(())
}

/// The adapter's values in place of the base's.
fn replacement(change: &AdapterChange) -> Option<&AdapterTensor> {
    match &change.kind {
        ChangeKind::Replace(stored) => Some(stored),
        ChangeKind::LowRank { .. }
        | ChangeKind::Embedding { .. }
        | ChangeKind::ExpertLowRank { .. }
        | ChangeKind::TokenRows { .. }
        | ChangeKind::LoraBias { .. } => change.base_layer.as_ref(),
    }
}

/// Replaces the values of the base. An embedding or lm_head may have another number of rows.
fn replace(tensor: &mut ModelTensor, stored: &AdapterTensor) -> Result<()> {
    let resizable = is_token_embedding(&tensor.info.name) || is_lm_head(&tensor.info.name);
    let same = stored.shape == tensor.info.shape;
    let other_rows = stored.shape.get(1..) == tensor.info.shape.get(1..);
    if !(same || resizable && other_rows) {
        let problem = format!("is {:?}, but {} is {:?}", stored.shape, tensor.info.name, tensor.info.shape);
        return Err(stored.error(problem));
    }
    tensor.info.shape.clone_from(&stored.shape);
    tensor.info.bytes = tensor.info.elements() * tensor.info.dtype.bytes();
    tensor.replaced = Some(stored.clone());
    Ok(())
}

fn check_shape(adapter: &Adapter, tensor: &ModelTensor, change: &ChangeKind) -> Result<()> {
    let shape = &tensor.info.shape;
    let (delta, stored_in) = match change {
        ChangeKind::LowRank { a, b, .. } => (vec![b.shape[0], a.shape[1]], b),
        ChangeKind::ExpertLowRank { a, b, rank, .. } => (vec![a.shape[0] / rank, b.shape[0], a.shape[1]], b),
        ChangeKind::Embedding { a, b, .. } => (vec![a.shape[1], b.shape[0]], b),
        ChangeKind::Replace(stored) => (stored.shape.clone(), stored),
        ChangeKind::LoraBias { values, .. } => (values.shape.clone(), values),
        ChangeKind::TokenRows { rows, values } => {
            let count = shape.first().copied().unwrap_or(0);
            if let Some(row) = rows.iter().find(|row| **row >= count) {
                return Err(values.error(format!("is for row {row}, but {} has {count}", tensor.info.name)));
            }
            (vec![count, values.shape[1]], values)
        }
    };
    if delta != *shape {
        let question = right_base(adapter.config().base_model.as_deref());
        let problem =
            format!("makes a change of shape {delta:?}, but {} is {shape:?}: {question}", tensor.info.name);
        return Err(stored_in.error(problem));
    }
    Ok(())
}

/// Makes a tensor of its own of a tied lm_head, unless embedding and lm_head are changed in the same way. Training
/// changed one of the two alone, so their values differ.
fn untie_lm_head(
    base: &Checkpoint,
    adapter: &Adapter,
    matched: &mut MatchedTargets,
    lm_head: &[(usize, &AdapterChange)],
) -> Result<()> {
    let Some(at) = matched.tensors.iter().position(|t| is_token_embedding(&t.info.name)) else {
        return if lm_head.is_empty() { Ok(()) } else { Err(unmatched(adapter, lm_head)) };
    };
    let stored = matched.tensors.iter().position(|t| is_lm_head(&t.info.name));
    // an embedding model has no lm_head
    let headless = base.config().class().is_some_and(|class| class.ends_with("TextModel"));
    let tied = base.config().ties_embeddings()? && !headless;
    if let (Some(stored), true) = (stored, tied) {
        return tie_stored_lm_head(base, adapter, matched, (stored, at));
    }
    if stored.is_some() || !tied {
        return if lm_head.is_empty() { Ok(()) } else { Err(unmatched(adapter, lm_head)) };
    }
    let embedding = &matched.tensors[at];
    let alone =
        embedding.changes.iter().any(|i| is_embedding_only(base, adapter, &adapter.changes()[*i], embedding));
    if lm_head.is_empty() && !alone {
        return Ok(());
    }
    let mut tensor = ModelTensor {
        info: TensorInfo {
            name: lm_head_name(&embedding.info.name),
            ..base.tensors()[embedding.base].clone()
        },
        base: embedding.base,
        replaced: None,
        changes: Vec::new(),
    };
    for (number, change) in lm_head {
        add_change(base, adapter, &mut tensor, *number, change)?;
    }
    start_like(adapter, &mut tensor, embedding)?;
    start_like(adapter, &mut matched.tensors[at], &tensor)?;
    let embedding = &matched.tensors[at];
    if equal(adapter, &tensor, embedding)? {
        // both were trained and stay tied: the adapter stores the same change twice
        return Ok(());
    }
    if tensor.info.shape != embedding.info.shape {
        let problem = format!("is {:?}, but its lm_head is {:?}", embedding.info.shape, tensor.info.shape);
        return Err(Error::tensor(adapter.location(), &embedding.info.name, problem));
    }
    let shard = embedding.info.shard;
    let first = matched.tensors.iter().position(|t| t.info.shard == shard).unwrap_or(0);
    matched.tensors.insert(first, tensor);
    matched.untied = true;
    Ok(())
}

/// Keeps a stored lm_head equal to the embedding that the configuration ties it to, or unties them. Loaders ignore such an
/// lm_head, or tie it by comparing the values.
fn tie_stored_lm_head(
    base: &Checkpoint,
    adapter: &Adapter,
    matched: &mut MatchedTargets,
    (lm_head, embedding): (usize, usize),
) -> Result<()> {
    for (tensor, other) in [(lm_head, embedding), (embedding, lm_head)] {
        let other = matched.tensors[other].clone();
        start_like(adapter, &mut matched.tensors[tensor], &other)?;
    }
    let [of_lm_head, of_embedding] = [&matched.tensors[lm_head], &matched.tensors[embedding]];
    if !(of_lm_head.is_target() || of_embedding.is_target()) || equal(adapter, of_lm_head, of_embedding)? {
        return Ok(());
    }
    let change = |number: &usize| &adapter.changes()[*number];
    let embedding_only = of_embedding
        .changes
        .iter()
        .any(|number| is_embedding_only(base, adapter, change(number), of_embedding));
    if !of_lm_head.changes.is_empty() || embedding_only {
        matched.untied = true;
        return Ok(());
    }
    // PEFT makes these changes to both
    let (changes, replaced) = (of_embedding.changes.clone(), of_embedding.replaced.clone());
    let (shape, bytes) = (of_embedding.info.shape.clone(), of_embedding.info.bytes);
    let tensor = &mut matched.tensors[lm_head];
    (tensor.changes, tensor.replaced, tensor.info.shape, tensor.info.bytes) =
        (changes, replaced, shape, bytes);
    Ok(())
}

/// Gives one of a tied pair the values that the adapter has saved of the other from before training, as both were one tensor.
fn start_like(adapter: &Adapter, tensor: &mut ModelTensor, other: &ModelTensor) -> Result<()> {
    let before = |number: &usize| adapter.changes()[*number].base_layer.as_ref();
    match other.changes.iter().find_map(before) {
        Some(start) if tensor.replaced.is_none() => replace(tensor, start),
        Some(_) | None => Ok(()),
    }
}

/// Whether a change to the embedding does not change the lm_head that is tied to it.
fn is_embedding_only(
    base: &Checkpoint,
    adapter: &Adapter,
    change: &AdapterChange,
    embedding: &ModelTensor,
) -> bool {
    let resized = embedding.info.shape != base.tensors()[embedding.base].shape;
    let name = change.target.trim_end_matches(".weight");
    match &change.kind {
        ChangeKind::LowRank { .. } | ChangeKind::Embedding { .. } => true,
        ChangeKind::Replace(_) => adapter.config().saves(name) && !adapter.config().ensure_tying && !resized,
        // PEFT ties these itself
        ChangeKind::TokenRows { .. } | ChangeKind::LoraBias { .. } | ChangeKind::ExpertLowRank { .. } => {
            false
        }
    }
}

/// Whether lm_head and embedding start from the same values and are changed in the same way.
fn equal(adapter: &Adapter, lm_head: &ModelTensor, embedding: &ModelTensor) -> Result<bool> {
    let change = |tensor: &ModelTensor| match tensor.changes[..] {
        [only] => Some(&adapter.changes()[only].kind),
        _ => None,
    };
    let (Some(one), Some(other)) = (change(lm_head), change(embedding)) else { return Ok(false) };
    let begin = match (&lm_head.replaced, &embedding.replaced) {
        (None, None) => true,
        (Some(a), Some(b)) => a.same_as(b)?,
        _ => false,
    };
    Ok(begin && same_change(one, other)?)
}

/// Whether a change to the lm_head equals one to the embedding, whose factors are transposed.
fn same_change(lm_head: &ChangeKind, embedding: &ChangeKind) -> Result<bool> {
    match (lm_head, embedding) {
        (
            ChangeKind::LowRank { a, b, scaling, magnitude: None, .. },
            ChangeKind::Embedding { a: tokens, b: hidden, scaling: other, magnitude: None },
        ) => Ok(scaling == other && a.is_transpose_of(hidden)? && b.is_transpose_of(tokens)?),
        (ChangeKind::TokenRows { rows, values }, ChangeKind::TokenRows { rows: others, values: theirs }) => {
            Ok(rows == others && values.same_as(theirs)?)
        }
        (ChangeKind::Replace(_), ChangeKind::Replace(_)) => Ok(true),
        _ => Ok(false),
    }
}

fn unmatched(adapter: &Adapter, lm_head: &[(usize, &AdapterChange)]) -> Error {
    let modules = lm_head.iter().map(|(_, change)| change.target.clone()).collect();
    unmatched_modules(adapter, modules)
}

fn unmatched_modules(adapter: &Adapter, modules: Vec<String>) -> Error {
    let base_model = adapter.config().base_model.clone();
    Error::UnmatchedModules { modules, total: adapter.modules(), base_model }
}
