//! Registries that lie, lead astray, dawdle and break off: a front before a real registry does it.

#[path = "support/layout.rs"]
mod layout;
#[path = "support/registry.rs"]
mod registry;

use layout::Lab;
use registry::{Front, Reply, Request, ask, broken_off, fails, filled, hasty, pulls, split};
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Bytes of a range request, or of all.
fn start(request: &Request) -> usize {
    let range = request.header("range").map(|range| range.trim_start_matches("bytes=").trim_end_matches('-'));
    range.map_or(0, |start| start.parse().unwrap())
}

#[test]
fn a_blob_that_breaks_off_goes_on_where_it_was() {
    let lab = Lab::new();
    let (registry, layer) = filled(&lab);
    let port = registry.port;
    let front = Front::start(port, move |request| match request.path.contains(&layer) {
        true => broken_off(port, request, 1_200_000),
        false => Reply::Forward,
    });
    pulls(&lab, &[&format!("{}/team/web:1", front.host())], &[]);
    let requests = front.requests();
    let parts: Vec<_> = requests.iter().filter(|request| request.header("range").is_some()).collect();
    let starts: Vec<usize> = parts.iter().map(|request| start(request)).collect();
    assert_eq!(starts, [1_200_000, 2_400_000], "each part begins where the last ended");
    assert!(parts.iter().all(|request| request.header("if-range").is_some_and(|etag| etag.starts_with('"'))));
    lab.assert_sound();
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let lab = Lab::new();
    let (registry, layer) = filled(&lab);
    let port = registry.port;
    let times = AtomicUsize::new(0);
    let front = Front::start(port, move |request| match request.path.contains(&layer) {
        true if times.fetch_add(1, Ordering::SeqCst) == 0 => broken_off(port, request, 1_000_000),
        true => {
            let mut whole = request.clone();
            whole.headers.remove("range");
            broken_off(port, &whole, usize::MAX)
        }
        false => Reply::Forward,
    });
    pulls(&lab, &[&format!("{}/team/web:1", front.host())], &[]);
    lab.assert_sound();
}

/// The same head, and other bytes.
fn changed(port: u16, request: &Request) -> Reply {
    let (head, mut body) = split(&ask(port, request));
    body.iter_mut().for_each(|byte| *byte ^= 1);
    Reply::Raw(Box::new(move |stream| {
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).unwrap();
    }))
}

#[test]
fn a_blob_that_changes_between_two_parts_begins_anew() {
    for (times_changed, succeeds) in [(1, true), (9, false)] {
        let lab = Lab::new();
        let (registry, layer) = filled(&lab);
        let port = registry.port;
        let parts = AtomicUsize::new(0);
        let front = Front::start(port, move |request| match request.header("range") {
            _ if !request.path.contains(&layer) => Reply::Forward,
            Some(_) if parts.fetch_add(1, Ordering::SeqCst) < times_changed => changed(port, request),
            Some(_) => Reply::Forward,
            None => broken_off(port, request, 1_000_000),
        });
        let name = format!("{}/team/web:1", front.host());
        if succeeds {
            pulls(&lab, &[&name], &[]);
        } else {
            let error = fails(&lab, &[&name], &[]);
            assert!(error.contains("the digest is wrong"), "{error}");
        }
        lab.assert_sound();
    }
}

/// What came from the registry, as a server passes it on that does not know how long it is: in chunks (RFC 9112
/// section 7.1), or up to the end of the connection.
fn without_length(port: u16, request: &Request, after: usize) -> Reply {
    let (head, body) = split(&ask(port, request));
    let known = |line: &&str| line.to_ascii_lowercase().starts_with("content-length:");
    let head: Vec<&str> = head.trim_end().split("\r\n").filter(|line| !known(line)).collect();
    let (head, chunked) = (head.join("\r\n"), request.header("range").is_none());
    let coding = if chunked { "\r\nTransfer-Encoding: chunked" } else { "" };
    let head = format!("{head}{coding}\r\n\r\n");
    Reply::Raw(Box::new(move |stream| {
        stream.write_all(head.as_bytes()).unwrap();
        for chunk in body[..after.min(body.len())].chunks(if chunked { 50_000 } else { usize::MAX }) {
            let (before, behind) = match chunked {
                true => (format!("{:x}\r\n", chunk.len()), "\r\n"),
                false => (String::new(), ""),
            };
            let all = [before.as_bytes(), chunk, behind.as_bytes()].concat();
            stream.write_all(&all).unwrap();
        }
        // The end of the connection is no end of chunks.
        if chunked && after >= body.len() {
            stream.write_all(b"0\r\n\r\n").unwrap();
        }
    }))
}

#[test]
fn a_body_without_a_length_has_that_of_the_manifest() {
    for after in [usize::MAX, 1_200_000] {
        let lab = Lab::new();
        let (registry, layer) = filled(&lab);
        let port = registry.port;
        let front = Front::start(port, move |request| match request.path.contains(&layer) {
            true => without_length(port, request, after),
            false => Reply::Forward,
        });
        pulls(&lab, &[&format!("{}/team/web:1", front.host())], &[]);
        let parts = front.requests().iter().filter(|request| request.header("range").is_some()).count();
        assert_eq!(parts, if after == usize::MAX { 0 } else { 2 });
        lab.assert_sound();
    }
}

#[test]
fn lengths_that_lie_are_not_believed() {
    // Longer or shorter than the manifest promises, or longer than what follows.
    for (promised, sent) in [(1_000, 0), (-1_000, 0), (0, -1_000)] {
        let lab = Lab::new();
        hasty(&lab);
        let (registry, layer) = filled(&lab);
        let port = registry.port;
        let front = Front::start(port, move |request| match request.path.contains(&layer) {
            true => {
                let mut whole = request.clone();
                whole.headers.remove("range");
                let (_, body) = split(&ask(port, &whole));
                let length = body.len().checked_add_signed(promised).unwrap();
                let end = body.len().checked_add_signed(sent).unwrap();
                Reply::Raw(Box::new(move |stream| {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    // The client may go before it has read all.
                    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..end]));
                }))
            }
            false => Reply::Forward,
        });
        let error = fails(&lab, &[&format!("{}/team/web:1", front.host())], &[]);
        let expected = if promised == 0 { "cannot talk to" } else { "size is wrong" };
        assert!(error.contains(expected), "{error}");
        lab.assert_sound();
    }
}

#[test]
fn a_server_that_asks_for_patience_gets_some() {
    let lab = Lab::new();
    let (registry, _) = filled(&lab);
    let times = Arc::new(AtomicUsize::new(0));
    let front = Front::start(registry.port, move |_| match times.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::status(503),
        1 => Reply::Answer(429, vec![("Retry-After", "1".to_owned())], Vec::new()),
        _ => Reply::Forward,
    });
    let before = Instant::now();
    pulls(&lab, &[&format!("{}/team/web:1", front.host())], &[]);
    assert!(before.elapsed() >= Duration::from_secs(1), "Retry-After is heeded");
}

#[test]
fn a_server_that_fails_always_is_given_up() {
    let lab = Lab::new();
    hasty(&lab);
    let body = br#"{"errors":[{"code":"UNKNOWN","message":"disk \u001b[31m full"}]}"#;
    let front = Front::start(0, |_| Reply::Answer(500, Vec::new(), body.to_vec()));
    let error = fails(&lab, &[&format!("{}/web:1", front.host())], &[]);
    assert!(
        error.contains("answered 500 when asked for image web:1: disk") && !error.contains('\u{1b}'),
        "{error}"
    );
    assert_eq!(front.requests().len(), 3);
    let front =
        Front::start(0, |_| Reply::Answer(429, vec![("Retry-After", "86400".to_owned())], Vec::new()));
    assert!(fails(&lab, &[&format!("{}/web:1", front.host())], &[]).contains("answered 429"));
    assert_eq!(front.requests().len(), 1, "a day is not waited for");
}

#[test]
fn nobody_waits_without_end() {
    let lab = Lab::new();
    hasty(&lab);
    let (registry, layer) = filled(&lab);
    let silence = |_: &mut std::net::TcpStream| std::thread::sleep(Duration::from_secs(60));
    let mute = Front::start(0, move |_| Reply::Raw(Box::new(silence)));
    let before = Instant::now();
    let error = fails(&lab, &[&format!("{}/web:1", mute.host())], &[]);
    assert!(error.contains("does not answer in time"), "{error}");
    let port = registry.port;
    let trickle = Front::start(port, move |request| match request.path.contains(&layer) {
        true => {
            let (head, body) = split(&ask(port, request));
            Reply::Raw(Box::new(move |stream| {
                stream.write_all(head.as_bytes()).unwrap();
                for byte in body {
                    if stream.write_all(&[byte]).is_err() {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }))
        }
        false => Reply::Forward,
    });
    let error = fails(&lab, &[&format!("{}/team/web:1", trickle.host())], &[]);
    assert!(error.contains("less than 1 KiB each second"), "{error}");
    assert!(before.elapsed() < Duration::from_secs(60), "{:?}", before.elapsed());
    lab.assert_sound();
}

#[test]
fn what_a_manifest_is_and_what_is_said_of_it_must_agree() {
    let lab = Lab::new();
    hasty(&lab);
    let (registry, _) = filled(&lab);
    let port = registry.port;
    let oci = "application/vnd.oci.image.manifest.v1+json";
    let zeros = format!("sha256:{}", "0".repeat(64));
    for (header, value, expected) in [
        ("Content-Type", "text/html", "sends \"text/html\" instead of an image manifest"),
        ("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1 of 2014"),
        ("Content-Type", "application/vnd.oci.image.index.v1+json", "does not fit its content"),
        ("Docker-Content-Digest", zeros.as_str(), "instead of sha256:0000"),
        ("Docker-Content-Digest", "sha256:../../x", "bad Docker-Content-Digest"),
        ("Docker-Content-Digest", "md5:d41d8cd98f00b204e9800998ecf8427e", "bad Docker-Content-Digest"),
        ("Docker-Content-Digest", "", "bad Docker-Content-Digest"),
    ] {
        let value = value.to_owned();
        let front = Front::start(port, move |request| {
            if !request.is_manifest() {
                return Reply::Forward;
            }
            let (_, body) = split(&ask(port, request));
            let mut headers = vec![(header, value.clone())];
            if header != "Content-Type" {
                headers.push(("Content-Type", oci.to_owned()));
            }
            Reply::Answer(200, headers, body)
        });
        let error = fails(&lab, &[&format!("{}/team/web:1", front.host())], &[]);
        assert!(error.contains(expected), "{header}: {error}");
    }
    lab.assert_sound();
}

#[test]
fn a_pinned_digest_is_what_comes_or_nothing() {
    let lab = Lab::new();
    hasty(&lab);
    let (registry, _) = filled(&lab);
    let port = registry.port;
    let front = Front::start(port, move |request| {
        let mut other = request.clone();
        other.path = "/v2/team/web/manifests/1".to_owned();
        let answer = ask(port, &other);
        Reply::Raw(Box::new(move |stream| stream.write_all(&answer).unwrap()))
    });
    let pinned = format!("{}/team/web@sha256:{}", front.host(), "1".repeat(64));
    let error = fails(&lab, &[&pinned], &[]);
    assert!(error.contains("instead of sha256:1111"), "{error}");
}

#[test]
fn a_digest_of_another_algorithm_pins_as_well() {
    use sha2::Digest as _;
    let lab = Lab::new();
    let (registry, _) = filled(&lab);
    let port = registry.port;
    let front = Front::start(port, move |request| {
        let mut tagged = request.clone();
        tagged.path = match request.is_manifest() {
            true => "/v2/team/web/manifests/1".to_owned(),
            false => request.path.clone(),
        };
        broken_off(port, &tagged, usize::MAX)
    });
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let address = format!("http://{}/v2/team/web/manifests/1", registry.host());
    let manifest =
        ureq::get(&address).header("accept", kind).call().unwrap().body_mut().read_to_vec().unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let pin =
        |bytes: &[u8]| format!("{}/team/web@sha512:{}", front.host(), hex(&sha2::Sha512::digest(bytes)));
    pulls(&lab, &[&pin(&manifest)], &[]);
    let error = fails(&lab, &[&pin(b"another")], &[]);
    assert!(error.contains("a manifest whose digest is sha512:"), "{error}");
    lab.assert_sound();
}

#[test]
fn a_manifest_without_end_is_refused() {
    let lab = Lab::new();
    hasty(&lab);
    let front = Front::start(0, |_| {
        Reply::Raw(Box::new(|stream| {
            let kind = "application/vnd.oci.image.manifest.v1+json";
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 99999999999\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            while stream.write_all(&[b' '; 65536]).is_ok() {}
        }))
    });
    let error = fails(&lab, &[&format!("{}/web:1", front.host())], &[]);
    assert!(error.contains("larger than 4 MiB"), "{error}");
}

#[test]
fn the_fetcher_is_nobody_without_any_capability() {
    let lab = Lab::new();
    let seen = Arc::new(Mutex::new(String::new()));
    let store = Arc::clone(&seen);
    // While the fetcher waits for this answer, it is looked at.
    let front = Front::start(0, move |request| {
        if request.is_manifest() {
            *store.lock().unwrap() = status_of_fetcher();
        }
        Reply::status(404)
    });
    fails(&lab, &[&format!("{}/looked/at:1", front.host())], &[]);
    let seen = seen.lock().unwrap();
    for line in [
        "Uid:\t65534\t65534\t65534\t65534",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(seen.contains(line), "{line}: {seen}");
    }
}

/// `status` of the process that fetches `looked/at`, proc(5).
fn status_of_fetcher() -> String {
    let is_it = |path: &std::path::Path| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("\0fetch\0") && line.contains("/looked/at:1")
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let process = processes.into_iter().find(|path| is_it(path)).expect("the fetcher runs");
    std::fs::read_to_string(process.join("status")).unwrap()
}
