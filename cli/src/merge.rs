//! `gemma-export merge`

use std::error::Error;

use engine::{LocalOutput, MergePlan, Stage};

use crate::args::MergeArgs;
use crate::place::{NewFolder, open_model};
use crate::{report, watch};

pub(crate) fn run(args: &MergeArgs) -> Result<(), Box<dyn Error>> {
    let plan = MergePlan::new(&open_model(&args.base, Some(&args.adapter))?)?;
    let place = NewFolder::prepare(&args.out, args.common.force, &plan)?;
    let timer = report::Timer::start();
    let outcome = watch::watched(Stage::Merging, args.common.threads, |run| {
        engine::merge(&plan, &mut LocalOutput::create(place.path())?, run)
    })?;
    place.commit()?;
    report::print(&args.out, &outcome, &timer);
    Ok(())
}
