//! `export gguf`

use std::error::Error;
use std::path::Path;

use engine::{Adapter, Checkpoint, GgufOptions, GgufPlan, Imatrix, LocalOutput, Model, Stage};

use crate::args::GgufArgs;
use crate::place::{new_file, open_file, open_folder};
use crate::{report, watch};

pub(crate) fn run(args: &GgufArgs) -> Result<(), Box<dyn Error>> {
    let base = Checkpoint::open(open_folder(&args.base)?)?;
    let model = match &args.adapter {
        Some(adapter) => Model::with_adapter(&base, &Adapter::open(open_folder(adapter)?)?)?,
        None => Model::new(&base),
    };
    let folder = match &args.name {
        Some(name) => name.clone(),
        None => folder_name(args.adapter.as_ref().unwrap_or(&args.base)),
    };
    let mut options = GgufOptions::new(args.quant, folder);
    if let Some(path) = &args.imatrix {
        options = options.with_imatrix(Imatrix::open(&*open_file(path)?, path.display().to_string())?);
    }
    let plan = GgufPlan::new(&model, &options)?;
    let (folder, name) = new_file(&args.out, args.common.force)?;
    let timer = report::Timer::start();
    let outcome = watch::watched(Stage::Converting, args.common.threads, |run| {
        engine::gguf(&plan, &name, &mut LocalOutput::create(&folder)?, run)
    })?;
    report::print(&args.out, &outcome, &timer);
    Ok(())
}

/// What the folder is called, also when it is typed as `.`.
fn folder_name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}
