//! `gemma-export push`

use super::destination::{PushDestination, repository};
use super::exported::ExportedFiles;
use super::hub::PreparedPush;
use crate::args::PushArgs;
use crate::failure::Failure;
use crate::sources::Sources;
use crate::terminal::{Summary, Terminal};

pub(crate) fn run(args: &PushArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let sources = Sources::new(terminal);
    let destination = PushDestination {
        option: "--to",
        repo: repository("--to", &args.to)?,
        is_public: args.public,
        base_model: args.base.as_deref().map(|base| repository("--base", base)).transpose()?,
    };
    let exported = ExportedFiles::read(&args.paths)?;
    let push = PreparedPush::open(destination, exported.kind, &exported.written(), &sources)?;
    let mut summary = Summary::default();
    exported.check(terminal)?;
    push.send(&exported)?.add_to(&mut summary);
    Ok(summary)
}
