//! The binary accepts tokens of the Auth emulator only if the emulator is configured:
//! `firebase emulators:exec --only auth --project demo-export 'cargo test -p list auth_emulator::'`.

use serde_json::{Value, json};
use shared::testing::{
    emulator, http,
    process::{BinaryProcess, serve_keys},
};

const BINARY: &str = env!("CARGO_BIN_EXE_list");
const PROJECT: &str = "demo-export";

#[tokio::test]
async fn emulator_tokens_are_accepted_only_if_the_emulator_is_configured() {
    let Some(host) = emulator("FIREBASE_AUTH_EMULATOR_HOST") else { return };
    let client = http::client();
    let response = client
        .post(format!("http://{host}/identitytoolkit.googleapis.com/v1/accounts:signUp?key=any"))
        .header("content-type", "application/json")
        .body(json!({"returnSecureToken": true}).to_string())
        .send()
        .await
        .unwrap();
    let response: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    let token = response["idToken"].as_str().unwrap();

    let keys = serve_keys().await;
    let production = [
        ("PROJECT_ID", PROJECT),
        ("FIREBASE_KEYS_URL", keys.as_str()),
        ("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1"),
    ];
    let emulated = [&production[..], &[("FIREBASE_AUTH_EMULATOR_HOST", host.as_str())]].concat();
    let other_project = [&emulated[..], &[("PROJECT_ID", "demo-other")]].concat();
    // 500 means authenticated: the store is requested, and it is unavailable here.
    for (settings, expected) in [(&emulated[..], 500), (&production[..], 401), (&other_project[..], 401)] {
        let function = BinaryProcess::listening(BINARY, settings).await;
        let response =
            client.get(format!("{}/exports", function.url())).bearer_auth(token).send().await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{}", function.log());
    }
}
