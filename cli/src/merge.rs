//! `export merge`

use std::error::Error;

use engine::{Adapter, Checkpoint, LocalOutput, MergePlan, Model, Stage};

use crate::args::MergeArgs;
use crate::place::{NewFolder, open_folder};
use crate::{report, watch};

pub(crate) fn run(args: &MergeArgs) -> Result<(), Box<dyn Error>> {
    let base = Checkpoint::open(open_folder(&args.base)?)?;
    let adapter = Adapter::open(open_folder(&args.adapter)?)?;
    let plan = MergePlan::new(&Model::with_adapter(&base, &adapter)?)?;
    let place = NewFolder::prepare(&args.out, args.common.force, &plan)?;
    let timer = report::Timer::start();
    let outcome = watch::watched(Stage::Merging, args.common.threads, |run| {
        engine::merge(&plan, &mut LocalOutput::create(place.path())?, run)
    })?;
    place.commit()?;
    report::print(&args.out, &outcome, &timer);
    Ok(())
}
