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
