//! `gemma-export start`

use uuid::Uuid;

use super::client::{ApiRequest, ServiceClient};
use super::follow::{self, until_end};
use super::{request, text, with_client};
use crate::args::StartArgs;
use crate::failure::Failure;
use crate::next_step::quoted_word;
use crate::terminal::{Summary, Terminal};

pub(crate) fn start(args: &StartArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let (job, body) = (&args.request.job, request::body(&args.request)?);
    let message = format!(
        "interrupted: if the export was started, it goes on; `gemma-export history {0}` lists it, `gemma-export follow {0}` follows it, `gemma-export cancel {0}` cancels it",
        quoted_word(job)
    );
    with_client(&args.service, terminal, &message, async |client| {
        let key = Uuid::new_v4().to_string();
        let started = client.send(&ApiRequest::post(["exports"], Some(body)).with_key(key)).await?.body;
        let id = text(&started["export_id"]);
        match args.follow {
            true => follow_started(client, job, &id).await,
            false => {
                let next = format!("gemma-export follow {} {id}", quoted_word(job));
                let lines = vec![format!("export {id} has started")];
                Ok(Summary { lines, next_steps: vec![next], figures: started, ..Summary::default() })
            }
        }
    })
}

async fn follow_started(client: &ServiceClient, job: &str, id: &str) -> Result<Summary, Failure> {
    client.terminal.note(&format!("export {id} has started"));
    Ok(follow::summary(job, until_end(client, job, id).await?))
}
