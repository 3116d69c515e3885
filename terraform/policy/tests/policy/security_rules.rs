//! Tests of the security rules on the Firestore emulator: `scripts/with-firestore cargo test -p policy`.

use serde_json::{Value, json};
use shared::testing::emulator;

use crate::rehearsal::read;

/// One database of the emulator, under some rules.
struct Database {
    host: String,
    project: String,
}

/// The sender of a request.
#[derive(Debug, Clone, Copy)]
enum Caller {
    Nobody,
    User(&'static str),
    /// A caller to whom no rules apply (`owner` in the emulator): functions and job.
    Service,
}

const ADA: Caller = Caller::User("ada");
const BOB: Caller = Caller::User("bob");

impl Database {
    /// A new database with an export of Ada, one of Bob, and one without an owner.
    fn new(host: &str, rules: &str) -> Self {
        let project = format!("demo-{}", shared::domain::ExportId::random());
        let database = Self { host: host.to_owned(), project };
        let files = json!({"rules": {"files": [{"name": "firestore.rules", "content": rules}]}});
        let path = format!("/emulator/v1/projects/{}:securityRules", database.project);
        assert_eq!(database.send("PUT", &path, Caller::Service, &files), 200, "the rules cannot be read");
        for (id, owner) in [("of-ada", Some("ada")), ("of-bob", Some("bob")), ("of-nobody", None)] {
            let owner =
                owner.map(|uid| json!({"user_id": {"stringValue": uid}})).unwrap_or_else(|| json!({}));
            assert_eq!(database.write(Caller::Service, "exports", id, &owner), 200);
        }
        assert_eq!(
            database.write(
                Caller::Service,
                "training_jobs",
                "job",
                &json!({"user_id": {"stringValue": "ada"}})
            ),
            200
        );
        database
    }

    fn documents(&self) -> String {
        format!("/v1/projects/{}/databases/(default)/documents", self.project)
    }

    fn get(&self, caller: Caller, path: &str) -> u16 {
        self.send("GET", &format!("{}/{path}", self.documents()), caller, &Value::Null)
    }

    fn write(&self, caller: Caller, collection: &str, id: &str, fields: &Value) -> u16 {
        let path = format!("{}/{collection}/{id}", self.documents());
        self.send("PATCH", &path, caller, &json!({"fields": fields}))
    }

    fn delete(&self, caller: Caller, path: &str) -> u16 {
        self.send("DELETE", &format!("{}/{path}", self.documents()), caller, &Value::Null)
    }

    /// Exports whose `user_id` is `owner`, or all of them.
    fn list(&self, caller: Caller, owner: Option<&str>, limit: Option<u32>) -> u16 {
        let mut query = json!({"from": [{"collectionId": "exports"}]});
        if let Some(owner) = owner {
            let field = json!({"fieldPath": "user_id"});
            query["where"] =
                json!({"fieldFilter": {"field": field, "op": "EQUAL", "value": {"stringValue": owner}}});
        }
        if let Some(limit) = limit {
            query["limit"] = json!(limit);
        }
        self.send(
            "POST",
            &format!("{}:runQuery", self.documents()),
            caller,
            &json!({"structuredQuery": query}),
        )
    }

    fn send(&self, method: &str, path: &str, caller: Caller, body: &Value) -> u16 {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let mut request = http::Request::builder().method(method).uri(format!("http://{}{path}", self.host));
        request = request.header("Content-Type", "application/json");
        match caller {
            Caller::Nobody => {}
            Caller::Service => request = request.header("Authorization", "Bearer owner"),
            Caller::User(uid) => {
                request = request.header("Authorization", format!("Bearer {}", unsigned(uid, &self.project)));
            }
        }
        let agent =
            ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
        agent.run(request.body(body).unwrap()).unwrap().status().as_u16()
    }
}

/// An unsigned token, as the Authentication emulator issues them.
fn unsigned(uid: &str, project: &str) -> String {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "iss": format!("https://securetoken.google.com/{project}"), "aud": project, "sub": uid, "user_id": uid,
        "iat": 0, "exp": 4_102_444_800_u64, "firebase": {"sign_in_provider": "password"},
    });
    format!("{}.{}.", part(json!({"alg": "none", "typ": "JWT"})), part(claims))
}

const ALLOWED: u16 = 200;
const DENIED: u16 = 403;

/// The violations.
fn wrong(database: &Database) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |what: &str, answer: u16, expected: u16| {
        if answer != expected {
            wrong.push(format!("{what}: {answer} instead of {expected}"));
        }
    };
    must("own export", database.get(ADA, "exports/of-ada"), ALLOWED);
    must("another's export", database.get(BOB, "exports/of-ada"), DENIED);
    must("an export without a sign-in", database.get(Caller::Nobody, "exports/of-ada"), DENIED);
    must("an export of nobody's", database.get(ADA, "exports/of-nobody"), DENIED);
    must("an export that is not there", database.get(ADA, "exports/none"), DENIED);
    must("own list", database.list(ADA, Some("ada"), Some(100)), ALLOWED);
    must("own list, too long", database.list(ADA, Some("ada"), Some(101)), DENIED);
    must("own list without a limit", database.list(ADA, Some("ada"), None), DENIED);
    must("another's list", database.list(ADA, Some("bob"), Some(10)), DENIED);
    must("everybody's list", database.list(ADA, None, Some(10)), DENIED);
    must("a list without a sign-in", database.list(Caller::Nobody, Some("ada"), Some(10)), DENIED);
    let mine = json!({"user_id": {"stringValue": "ada"}, "status": {"stringValue": "completed"}});
    must("creating an export", database.write(ADA, "exports", "new", &mine), DENIED);
    must("changing an own export", database.write(ADA, "exports", "of-ada", &mine), DENIED);
    must("deleting an own export", database.delete(ADA, "exports/of-ada"), DENIED);
    must("own training job", database.get(ADA, "training_jobs/job"), DENIED);
    must("writing a training job", database.write(ADA, "training_jobs", "job", &mine), DENIED);
    must("anything else", database.write(ADA, "others", "x", &mine), DENIED);
    must("below an own export", database.get(ADA, "exports/of-ada/parts/1"), DENIED);
    must("the service itself", database.get(Caller::Service, "exports/of-nobody"), ALLOWED);
    wrong
}

#[test]
fn owners_read_their_exports_and_nobody_writes() {
    let Some(host) = emulator("FIRESTORE_EMULATOR_HOST") else { return };
    let rules = read("terraform/modules/firestore/firestore.rules");
    let found = wrong(&Database::new(&host, &rules));
    assert!(found.is_empty(), "{}", found.join("\n"));
    for (from, to) in [
        ("allow get: if owns(resource);", "allow get: if request.auth != null;"),
        ("allow get: if owns(resource);", ""),
        (" && request.query.limit <= 100", ""),
        ("request.query.limit <= 100", "request.query.limit <= 1000"),
        ("allow list: if owns(resource) &&", "allow list: if"),
        ("allow read, write: if false;", "allow read: if request.auth != null;"),
        ("allow list: if", "allow create, update: if request.auth != null; allow list: if"),
        ("document.data.user_id == request.auth.uid", "true"),
    ] {
        assert_eq!(rules.matches(from).count(), 1, "{from:?}");
        let mutant = Database::new(&host, &rules.replace(from, to));
        assert!(!wrong(&mutant).is_empty(), "nothing minds {from:?} → {to:?}");
    }
}
