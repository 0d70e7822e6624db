//! What a registry gets to know of its user: credentials, tokens, and the way there through a proxy.

#[path = "support/layout.rs"]
mod layout;
#[path = "support/registry.rs"]
mod registry;

use layout::Lab;
use registry::{Front, Reply, ask, broken_off, credentials, fails, filled, hasty, pulls, settings};
use serde_json::json;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

#[test]
fn credentials_do_not_follow_a_redirect() {
    let lab = Lab::new();
    let (registry, _) = filled(&lab);
    let port = registry.port;
    let sink = Arc::new(Front::start(port, |_| Reply::Forward));
    let target = sink.host();
    let front = Front::start(port, move |request| match request.header("authorization") {
        None => Reply::challenge("Basic realm=\"x\""),
        Some(_) if request.is_blob() => Reply::redirect(format!("http://{target}{}", request.path)),
        Some(_) => Reply::Forward,
    });
    credentials(&lab, &front.host());
    pulls(&lab, &[&format!("{}/team/web:1", front.host())], &[]);
    assert_eq!(sink.requests().len(), 2, "the configuration and the layer");
    assert!(sink.requests().iter().all(|request| request.header("authorization").is_none()));
    lab.assert_sound();
}

#[test]
fn redirects_lead_to_no_forbidden_place() {
    let lab = Lab::new();
    hasty(&lab);
    let (registry, _) = filled(&lab);
    let sink = Front::start(0, |_| Reply::status(200));
    for (location, expected) in [
        ("file:///etc/shadow".to_owned(), "refused"),
        ("http://10.0.0.1/x".to_owned(), "is plain HTTP"),
        (format!("http://me:secret@{}/x", sink.host()), "holds a user name"),
        ("/again".to_owned(), "redirects without end"),
        (String::new(), "redirects without end"),
        ("http://".to_owned(), "is no address"),
    ] {
        let given = location.clone();
        let front = Front::start(registry.port, move |request| match request.is_manifest() {
            true => Reply::Forward,
            false => Reply::redirect(given.clone()),
        });
        let error = fails(&lab, &[&format!("{}/team/web:1", front.host())], &[]);
        assert!(error.contains(expected), "{location}: {error}");
    }
    assert!(sink.requests().is_empty());
    lab.assert_sound();
}

const ISSUED: &str = "Bearer issued";

/// A token service that gives out a token to "me", and a registry that wants it.
fn with_tokens(port: u16, realm: impl Fn(&str) -> String) -> (Front, Front) {
    let service = Front::start(0, |_| Reply::json(r#"{"token":"issued","expires_in":300}"#));
    let realm = realm(&service.host());
    let front = Front::start(port, move |request| match request.header("authorization") {
        Some(ISSUED) => {
            let mut plain = request.clone();
            plain.headers.remove("authorization");
            let answer = ask(port, &plain);
            Reply::Raw(Box::new(move |stream| stream.write_all(&answer).unwrap()))
        }
        _ => Reply::challenge(format!(
            "Bearer realm=\"{realm}\",service=\"the registry\",scope=\"repository:team/web:pull,push\""
        )),
    });
    (service, front)
}

#[test]
fn a_token_service_gives_tokens_to_read_one_repository() {
    let lab = Lab::new();
    let (registry, _) = filled(&lab);
    let (service, front) = with_tokens(registry.port, |host| format!("http://{host}/token?account=x"));
    credentials(&lab, &front.host());
    pulls(&lab, &[&format!("{}/team/web:1", front.host())], &[]);
    let requests = service.requests();
    assert_eq!(requests.len(), 1, "one token does for all requests");
    assert_eq!(requests[0].header("authorization"), Some("Basic bWU6c2VjcmV0"));
    assert_eq!(
        requests[0].path,
        "/token?account=x&scope=repository%3Ateam%2Fweb%3Apull&service=the%20registry"
    );
}

#[test]
fn a_token_that_expires_during_a_pull_is_replaced() {
    let lab = Lab::new();
    let (registry, layer) = filled(&lab);
    let port = registry.port;
    let issued = Arc::new(AtomicUsize::new(0));
    let newest = Arc::clone(&issued);
    let service = Front::start(0, move |_| {
        let number = newest.fetch_add(1, Ordering::SeqCst);
        Reply::json(&json!({ "token": format!("number-{number}"), "expires_in": 60 }).to_string())
    });
    let realm = format!("http://{}/token", service.host());
    let cut = AtomicUsize::new(0);
    let front = Front::start(port, move |request| {
        // A token is good until the layer has been cut off; the rest of it needs another one.
        let good = format!("Bearer number-{}", cut.load(Ordering::SeqCst));
        let mut plain = request.clone();
        match plain.headers.remove("authorization") {
            Some(token) if token == good && request.path.contains(&layer) => {
                cut.fetch_add(1, Ordering::SeqCst);
                broken_off(port, &plain, 2_000_000)
            }
            Some(token) if token == good => broken_off(port, &plain, usize::MAX),
            _ => Reply::challenge(format!("Bearer realm=\"{realm}\",service=\"s\"")),
        }
    });
    pulls(&lab, &[&format!("{}/team/web:1", front.host())], &[]);
    assert_eq!(issued.load(Ordering::SeqCst), 2);
    lab.assert_sound();
}

#[test]
fn an_identity_token_goes_in_a_form() {
    let lab = Lab::new();
    let (registry, _) = filled(&lab);
    let (service, front) = with_tokens(registry.port, |host| format!("http://{host}/token"));
    let file = json!({ "auths": { front.host(): { "identitytoken": "my identity" } } });
    settings(&lab, "auth.json", &file.to_string());
    pulls(&lab, &[&format!("{}/team/web:1", front.host())], &[]);
    let request = &service.requests()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/token"));
    assert!(
        request.body.contains("grant_type=refresh_token")
            && request.body.contains("refresh_token=my%20identity")
    );
}

#[test]
fn realms_are_no_way_out() {
    let lab = Lab::new();
    hasty(&lab);
    let (registry, _) = filled(&lab);
    let sink = Front::start(0, |_| Reply::json(r#"{"token":"x"}"#));
    for (realm, expected) in [
        ("http://10.1.2.3/token".to_owned(), "is plain HTTP"),
        ("http://auth.example/token".to_owned(), "is plain HTTP"),
        (format!("http://x:y@{}/token", sink.host()), "holds a user name"),
        ("file:///etc/passwd".to_owned(), "refused"),
        ("ftp://auth.example/".to_owned(), "is neither http nor https"),
        ("/token".to_owned(), "refused"),
    ] {
        let (_, front) = with_tokens(registry.port, |_| realm.clone());
        credentials(&lab, &front.host());
        let error = fails(&lab, &[&format!("{}/team/web:1", front.host())], &[]);
        assert!(error.contains(expected), "{realm}: {error}");
    }
    assert!(sink.requests().is_empty());
}

#[test]
fn a_token_service_may_not_redirect_and_must_give_a_token() {
    let lab = Lab::new();
    hasty(&lab);
    let (registry, _) = filled(&lab);
    let sink = Arc::new(Front::start(0, |_| Reply::json(r#"{"token":"issued"}"#)));
    let target = format!("http://{}/token", sink.host());
    let redirect = || Reply::redirect(target.clone());
    for (answer, expected) in [
        (redirect(), "answered 307 when asked for a token"),
        (Reply::json("{}"), "gives no token"),
        (Reply::json(r#"{"token":"a","token":"b"}"#), "gives no token"),
        (Reply::status(401), "refuses the credentials"),
    ] {
        let answer = Mutex::new(Some(answer));
        let service = Front::start(0, move |_| answer.lock().unwrap().take().expect("asked once"));
        let (_, front) = with_tokens(registry.port, |_| format!("http://{}/token", service.host()));
        credentials(&lab, &front.host());
        let error = fails(&lab, &[&format!("{}/team/web:1", front.host())], &[]);
        assert!(error.contains(expected), "{error}");
    }
    assert!(sink.requests().is_empty());
}

#[test]
fn wrong_passwords_are_tried_once() {
    let lab = Lab::new();
    let front = Front::start(0, |_| Reply::challenge("Basic realm=\"x\""));
    credentials(&lab, &front.host());
    let error = fails(&lab, &[&format!("{}/team/web:1", front.host())], &[]);
    assert!(error.contains("do not suffice"), "{error}");
    let sent = front.requests();
    assert_eq!(sent.iter().filter(|request| request.header("authorization").is_some()).count(), 1);
}

#[test]
fn a_proxy_is_asked_for_what_is_not_on_this_machine() {
    let lab = Lab::new();
    hasty(&lab);
    let (registry, _) = filled(&lab);
    let port = registry.port;
    settings(&lab, "registries.toml", "[registry.\"registry.example\"]\nplain_http = true\n");
    let proxy = Front::start(port, move |request| {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("CONNECT", "registry.example:80"));
        Reply::tunnel(port)
    });
    let address = format!("http://{}", proxy.host());
    let environment = [("HTTP_PROXY", address.as_str()), ("NO_PROXY", "other.example")];
    pulls(&lab, &["registry.example/team/web:1"], &environment);
    let asked = proxy.requests().len();
    assert!(asked > 0);
    let environment = [("HTTP_PROXY", address.as_str()), ("NO_PROXY", "registry.example")];
    let error = fails(&lab, &["registry.example/team/web:2"], &environment);
    assert!(error.contains("cannot talk to http://registry.example"), "{error}");
    let local = format!("{}/team/web:1", registry.host());
    pulls(&lab, &[&local], &[("HTTP_PROXY", address.as_str()), ("HTTPS_PROXY", address.as_str())]);
    assert_eq!(proxy.requests().len(), asked);
}

#[test]
fn a_proxy_gets_its_own_credentials_and_not_those_of_the_registry() {
    let lab = Lab::new();
    hasty(&lab);
    let (registry, _) = filled(&lab);
    let port = registry.port;
    settings(&lab, "registries.toml", "[registry.\"registry.example\"]\nplain_http = true\n");
    credentials(&lab, "registry.example");
    let proxy = Front::start(port, move |request| match request.header("proxy-authorization") {
        // "user" and "p@ss".
        Some("Basic dXNlcjpwQHNz") => Reply::tunnel(port),
        _ => Reply::status(407),
    });
    let name = "registry.example/team/web:1";
    let with = format!("http://user:p%40ss@{}", proxy.host());
    pulls(&lab, &[name], &[("ALL_PROXY", with.as_str())]);
    assert!(proxy.requests().iter().all(|request| request.header("authorization").is_none()));
    let without = format!("http://{}", proxy.host());
    let error = fails(&lab, &["registry.example/team/web:2"], &[("ALL_PROXY", without.as_str())]);
    assert!(error.contains("cannot talk to http://registry.example") && error.contains("407"), "{error}");
}
