//! Only who gives the same answers may be compared.

use serde_json::Value;

use crate::{
    contenders::{Route, System, World},
    result::Result,
};

/// Asks both systems for everything, and fails where they differ.
pub(crate) async fn check(world: &World) -> Result<()> {
    for route in Route::COMPARED {
        let (ours, fast_api) =
            (answer(world, System::Ours, route).await?, answer(world, System::FastApi, route).await?);
        let same = match route {
            // each makes an export of its own
            Route::Create => ours["success"] == true && fast_api["success"] == true,
            Route::Health | Route::List | Route::Get | Route::History | Route::Cancel | Route::Plan => {
                ours == fast_api
            }
        };
        if !same {
            return Err(format!("{route} has two answers:\nours     {ours}\nFastAPI  {fast_api}").into());
        }
    }
    Ok(())
}

async fn answer(world: &World, system: System, route: Route) -> Result<Value> {
    let (server, ask) = (world.start(system, route)?, world.ask(route));
    server.first_answer(&ask).await?;
    let body = crate::client::Connection::open(server.address).await?.send(&ask).await?;
    Ok(serde_json::from_slice(&body)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    /// The fields of a class of the FastAPI service, without those that it inherits.
    fn fields(class: &str) -> BTreeSet<String> {
        let app = include_str!("../fastapi/app.py");
        let body = app.lines().skip_while(|line| !line.starts_with(&format!("class {class}("))).skip(1);
        let field = |line: &str| line.trim().split_once(':').map(|(name, _)| name.to_owned());
        body.take_while(|line| line.starts_with("    ")).filter_map(field).collect()
    }

    #[test]
    fn the_fastapi_service_has_the_fields_of_the_api() {
        let api: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
        for (class, schema) in [("Export", "Export"), ("Job", "TrainingJob"), ("Ack", "ExportStarted")] {
            let properties = api["components"]["schemas"][schema]["properties"].as_object().unwrap();
            assert_eq!(fields(class), properties.keys().cloned().collect(), "{class}");
        }
    }
}
