//! `hosting/` as the Firebase CLI serves it: the pages, their headers, and the paths of functions. The functions
//! themselves do not run: the emulator requests them from the cloud, and returns 500.

use shared::testing::emulator;

use crate::rehearsal::read;

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

fn get(host: &str, path: &str) -> Answer {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let mut response =
        ureq::Agent::new_with_config(config).get(format!("http://{host}{path}")).call().unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.body_mut().read_to_string().unwrap(),
    }
}

#[test]
fn pages_are_served_with_their_headers_and_api_paths_are_not_pages() {
    let Some(host) = emulator("FIREBASE_HOSTING_EMULATOR_HOST") else { return };
    for (path, file, status, kind) in [
        ("/", "index.html", 200, "text/html"),
        ("/js/app.js", "js/app.js", 200, "application/javascript"),
        ("/style.css", "style.css", 200, "text/css"),
        ("/icon.svg", "icon.svg", 200, "image/svg+xml"),
        ("/nothing/here", "404.html", 404, "text/html"),
    ] {
        let answer = get(&host, path);
        assert_eq!((answer.status, answer.body), (status, read(&format!("hosting/public/{file}"))), "{path}");
        let headers = |name| answer.headers.get(name).map_or("", |value| value.to_str().unwrap());
        assert!(headers("content-type").starts_with(kind), "{path}: {}", headers("content-type"));
        assert_eq!(headers("cache-control"), "no-cache", "{path}");
        assert!(headers("content-security-policy").starts_with("default-src 'none'; script-src 'self'"));
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin-allow-popups"),
            ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
        ] {
            assert_eq!(headers(name), value, "{path}: {name}");
        }
    }
    for path in ["/health", "/exports", "/exports/job-1"] {
        let answer = get(&host, path);
        assert_eq!((answer.status, answer.header("cache-control")), (500, "no-store"), "{path}");
        assert!(answer.body.contains("Cloud Run service"), "{path} is not a function's: {}", answer.body);
    }
    // only rewritten paths reach a function
    assert_eq!(get(&host, "/healthy").status, 404);
    assert_eq!(get(&host, "/firebase.json").status, 404, "settings are not served");
}
