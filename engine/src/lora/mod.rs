//! A LoRA adapter as PEFT saves it.

mod config;
pub(crate) mod kernel;
pub(crate) mod names;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use config::AdapterConfig;

use crate::checkpoint::Dtype;
use crate::checkpoint::header::{self, HeaderTensor};
use crate::io::{Folder, Source, read_optional};
use crate::{Error, Result};

/// The file that makes a folder an adapter.
pub(crate) const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// An adapter: its configuration and the place of every factor. Cheap to clone.
#[derive(Clone)]
pub struct Adapter(Arc<Opened>);

struct Opened {
    folder: Arc<dyn Folder>,
    config: AdapterConfig,
    pairs: Vec<Pair>,
}

/// One module's two factors: delta = scaling · B · A.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    /// The module's name, without `base_model.model.`.
    pub(crate) module: String,
    /// \[rank, in\]
    pub(crate) a: Factor,
    /// \[out, rank\]
    pub(crate) b: Factor,
    pub(crate) scaling: f32,
}

/// Where a factor lies.
#[derive(Clone)]
pub(crate) struct Factor {
    pub(crate) name: String,
    pub(crate) rows: u64,
    pub(crate) columns: u64,
    dtype: Dtype,
    offset: u64,
    source: Arc<dyn Source>,
}

impl Adapter {
    /// Reads `adapter_config.json` and the header of `adapter_model.safetensors`, and pairs the factors.
    ///
    /// # Errors
    /// When a file is missing or malformed, when an A has no B or the ranks do not fit, and when the
    /// configuration asks for something that this engine does not apply exactly.
    pub fn open(folder: Arc<dyn Folder>) -> Result<Self> {
        let location = folder.location().to_owned();
        let missing = |what: &str| Error::Missing { folder: location.clone(), what: what.to_owned() };
        let Some(bytes) = read_optional(&*folder, CONFIG)? else { return Err(missing(CONFIG)) };
        let config = AdapterConfig::parse(&format!("{location}/{CONFIG}"), &bytes)?;
        let source = match folder.open(WEIGHTS) {
            Ok(source) => source,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(no_weights(&*folder)?),
            Err(error) => return Err(Error::read(format!("{location}/{WEIGHTS}"), error)),
        };
        let pairs = pair_up(&config, &source, header::read(&*source)?)?;
        Ok(Self(Arc::new(Opened { folder, config, pairs })))
    }

    /// The configuration.
    pub fn config(&self) -> &AdapterConfig {
        &self.0.config
    }

    /// How many modules it changes.
    pub fn modules(&self) -> usize {
        self.0.pairs.len()
    }

    /// The folder's location.
    pub fn location(&self) -> &str {
        self.0.folder.location()
    }

    pub(crate) fn folder(&self) -> &dyn Folder {
        &*self.0.folder
    }

    pub(crate) fn pairs(&self) -> &[Pair] {
        &self.0.pairs
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter").field("location", &self.location()).finish_non_exhaustive()
    }
}

fn no_weights(folder: &dyn Folder) -> Result<Error> {
    let entries = folder.list().map_err(|e| Error::read(folder.location(), e))?;
    let pickle = entries.iter().find(|e| e.name == "adapter_model.bin");
    Ok(match pickle {
        Some(pickle) => Error::unsupported(
            format!("{}/{}", folder.location(), pickle.name),
            "a pickle, which can run code when it is opened,",
        )
        .advise("save the adapter as safetensors (PEFT's save_pretrained does so by default)"),
        None => Error::Missing { folder: folder.location().to_owned(), what: WEIGHTS.to_owned() },
    })
}

/// Which of a module's tensors a name means.
enum Role {
    A,
    B,
}

/// Splits `base_model.model.<module>.lora_A[.<adapter>].weight`.
fn parse_name(name: &str) -> Option<(&str, Role)> {
    let path = name.strip_prefix("base_model.model.").unwrap_or(name);
    let (module, role, rest) = match (path.split_once(".lora_A"), path.split_once(".lora_B")) {
        (Some((module, rest)), None) => (module, Role::A, rest),
        (None, Some((module, rest))) => (module, Role::B, rest),
        (Some(_), Some(_)) | (None, None) => return None,
    };
    let adapter = rest.strip_suffix("weight")?.trim_matches('.');
    (!module.is_empty() && !adapter.contains('.')).then_some((module, role))
}

fn pair_up(
    config: &AdapterConfig,
    source: &Arc<dyn Source>,
    tensors: Vec<HeaderTensor>,
) -> Result<Vec<Pair>> {
    let file = source.location();
    let mut halves: BTreeMap<String, (Option<Factor>, Option<Factor>)> = BTreeMap::new();
    for tensor in tensors {
        let Some((module, role)) = parse_name(&tensor.name) else {
            return Err(Error::tensor(
                file,
                &tensor.name,
                "is no LoRA factor of a linear layer, the only kind supported",
            ));
        };
        let module = module.to_owned();
        let factor = Factor::new(source, tensor)?;
        let name = factor.name.clone();
        let slot = halves.entry(module).or_default();
        let before = match role {
            Role::A => slot.0.replace(factor),
            Role::B => slot.1.replace(factor),
        };
        if let Some(before) = before {
            return Err(Error::tensor(file, name, format!("says the same as {}", before.name)));
        }
    }
    if halves.is_empty() {
        return Err(Error::invalid(file, "has no LoRA factors"));
    }
    let mut pairs = Vec::with_capacity(halves.len());
    for (module, half) in halves {
        pairs.push(match half {
            (Some(a), Some(b)) => check_pair(config, file, module, a, b)?,
            (Some(a), None) => return Err(Error::tensor(file, a.name, "has no lora_B to go with it")),
            (None, Some(b)) => return Err(Error::tensor(file, b.name, "has no lora_A to go with it")),
            (None, None) => continue,
        });
    }
    Ok(pairs)
}

fn check_pair(config: &AdapterConfig, file: &str, module: String, a: Factor, b: Factor) -> Result<Pair> {
    let rank = u64::from(config.rank_of(&module));
    if a.rows != rank {
        let problem = format!("has rank {}, but {CONFIG} says {rank}", a.rows);
        return Err(Error::tensor(file, a.name, problem));
    }
    if b.columns != rank {
        let problem = format!("has rank {}, but its lora_A has {rank}", b.columns);
        return Err(Error::tensor(file, b.name, problem));
    }
    let scaling = config.scaling_of(&module);
    Ok(Pair { module, a, b, scaling })
}

impl Factor {
    fn new(source: &Arc<dyn Source>, tensor: HeaderTensor) -> Result<Self> {
        let &[rows, columns] = tensor.shape.as_slice() else {
            let problem = format!("has the shape {:?}, not two dimensions", tensor.shape);
            return Err(Error::tensor(source.location(), tensor.name, problem));
        };
        if !tensor.dtype.is_float() {
            let problem = format!("is {}, not a float", tensor.dtype);
            return Err(Error::tensor(source.location(), tensor.name, problem));
        }
        let (name, dtype, offset) = (tensor.name, tensor.dtype, tensor.offset);
        Ok(Self { name, rows, columns, dtype, offset, source: Arc::clone(source) })
    }

    /// The file it is in, for error messages.
    pub(crate) fn location(&self) -> &str {
        self.source.location()
    }

    /// Reads the values of `count` rows from `first` on, row by row.
    pub(crate) fn read_rows(
        &self,
        first: u64,
        count: u64,
        scratch: &mut Vec<u8>,
        values: &mut Vec<f32>,
    ) -> Result<()> {
        let row = self.columns * self.dtype.bytes();
        scratch.resize((row * count) as usize, 0);
        let read = self.source.read_at(self.offset + row * first, scratch);
        read.map_err(|e| Error::read(self.source.location(), e))?;
        values.resize((self.columns * count) as usize, 0.0);
        self.dtype.widen(scratch, values);
        Ok(())
    }
}

impl fmt::Debug for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Factor").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_carry_the_adapters_own_name() {
        for name in [
            "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight",
            "base_model.model.model.layers.0.mlp.up_proj.lora_A.default.weight",
            "model.layers.0.mlp.up_proj.lora_A.weight",
        ] {
            assert!(matches!(parse_name(name), Some(("model.layers.0.mlp.up_proj", Role::A))), "{name}");
        }
    }

    #[test]
    fn other_tensors_are_no_factors() {
        for name in
            ["base_model.model.lm_head.weight", "x.lora_A.bias", "x.lora_embedding_A", ".lora_A.weight"]
        {
            assert!(parse_name(name).is_none(), "{name}");
        }
    }
}
