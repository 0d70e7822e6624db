//! Images from a real registry, `docker-registry` of Debian, to which skopeo pushed them.

#[path = "support/layout.rs"]
mod layout;
#[path = "support/registry.rs"]
mod registry;

use layout::{Blob, Documents, Lab, Layout, Tar, gzip, zstd};
use registry::{Front, Registry, Reply, certificates, fails, pull, pulls, settings, tunnel};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

fn lower() -> Vec<u8> {
    Tar::default().directory("bin").file("bin/tool", &"tool".repeat(100_000)).end()
}

fn upper(text: &str) -> Vec<u8> {
    Tar::default().file("etc/version", text).end()
}

/// A registry with the image `team/web:1` of two layers.
fn filled(lab: &Lab) -> (Registry, PathBuf) {
    let registry = Registry::plain(lab);
    let layout = Layout::write(&lab.path("web"), &[gzip(&lower()), gzip(&upper("1"))]).path;
    registry.push(&layout, "team/web:1", &[]);
    (registry, layout)
}

#[test]
fn a_pulled_image_is_the_one_that_was_pushed() {
    let lab = Lab::new();
    let (registry, layout) = filled(&lab);
    let name = format!("{}/team/web:1", registry.host());
    let id = pulls(&lab, &[&name], &[]);
    assert_eq!(lab.import(&layout, "imported"), id);
    let skopeo = Command::new("skopeo")
        .args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}"])
        .arg(format!("docker://{name}"))
        .output()
        .unwrap();
    let digest = String::from_utf8(skopeo.stdout).unwrap().trim_end().to_owned();
    assert_eq!(lab.json(&["inspect", &name])["digest"], digest);
    let pinned = format!("{}/team/web@{digest}", registry.host());
    assert_eq!(pulls(&lab, &[&pinned], &[]), id);
    assert_eq!(lab.json(&["inspect", &pinned])["id"], id);
    let by_name = format!("localhost:{}/team/web:1", registry.port);
    assert_eq!(pulls(&lab, &[&by_name], &[]), id, "a host is found by its name");
    lab.assert_sound();
}

#[test]
fn what_the_store_has_is_not_fetched() {
    let lab = Lab::new();
    let (registry, _) = filled(&lab);
    let second = Layout::write(&lab.path("second"), &[gzip(&lower()), zstd(&upper("2"))]).path;
    registry.push(&second, "team/web:2", &[]);
    let front = Front::start(registry.port, |_| Reply::Forward);
    let name = |tag: u8| format!("{}/team/web:{tag}", front.host());
    pulls(&lab, &[&name(1)], &[]);
    assert_eq!(front.blobs(), 3, "a configuration and two layers");
    let before = front.requests().len();
    pulls(&lab, &[&name(1)], &[]);
    assert_eq!(front.requests().len(), before + 1, "one request for an image that is there");
    pulls(&lab, &[&name(2)], &[]);
    assert_eq!(front.blobs(), 5, "of the second, a configuration and one layer");
    lab.assert_sound();
}

#[test]
fn docker_s_own_media_types_are_read() {
    let lab = Lab::new();
    let registry = Registry::plain(&lab);
    let layout = Layout::write(&lab.path("web"), &[gzip(&lower())]);
    registry.push(&layout.path, "web:docker", &["--format", "v2s2"]);
    let name = format!("{}/web:docker", registry.host());
    pulls(&lab, &[&name], &[]);
    assert_eq!(lab.json(&["files", &name]), {
        lab.import(&layout.path, "imported");
        lab.json(&["files", "imported"])
    });
}

#[test]
fn layers_in_the_form_of_zstd_chunked_are_read_as_zstd() {
    let lab = Lab::new();
    let registry = Registry::plain(&lab);
    std::fs::write(lab.path("tree.tar"), lower()).unwrap();
    let podman = |arguments: &[&str]| {
        let storage = ["--root", "--runroot", "--tmpdir"].map(|option| [option.into(), lab.path(option)]);
        let output = Command::new("podman")
            .args(storage.iter().flatten())
            .args(["--storage-driver", "vfs"])
            .args(arguments)
            .env("TMPDIR", lab.directory.path())
            .output()
            .expect("Debian's podman is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    };
    let id = podman(&["import", "--quiet", lab.path("tree.tar").to_str().unwrap()]);
    let name = format!("{}/chunked:1", registry.host());
    let target = format!("docker://{name}");
    podman(&["push", "--compression-format", "zstd:chunked", "--tls-verify=false", &id, &target]);
    assert_eq!(pulls(&lab, &[&name], &[]), id);
    let image = lab.store().join("images").join(id.trim_start_matches("sha256:"));
    let manifest = std::fs::read_to_string(image.join("manifest")).unwrap();
    assert!(manifest.contains("io.containers.zstd-chunked.manifest-position"), "{manifest}");
    let tool = std::fs::read(lab.rootfs(&name).join("bin/tool")).unwrap();
    assert_eq!(tool, "tool".repeat(100_000).as_bytes());
    lab.assert_sound();
}

/// An index of the same tree for two platforms; returns the digests of the manifests.
fn index(path: &Path) -> Layout {
    let mut manifests = Vec::new();
    for (architecture, variant) in [("amd64", None), ("arm64", Some("v8"))] {
        let layers: [Blob; 1] = [gzip(&upper(architecture))];
        let layout = Layout::write_with(path, &layers, &mut |it: &mut Documents| {
            it.config["architecture"] = json!(architecture);
            it.config["variant"] = json!(variant);
        });
        let text = std::fs::read_to_string(layout.path.join("index.json")).unwrap();
        let mut manifest = serde_json::from_str::<Value>(&text).unwrap()["manifests"][0].clone();
        manifest["platform"] = json!({ "os": "linux", "architecture": architecture });
        if let Some(variant) = variant {
            manifest["platform"]["variant"] = json!(variant);
        }
        manifests.push(manifest);
    }
    let layout = Layout { path: path.to_owned() };
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests }).to_string();
    layout.blob(index.as_bytes());
    let top =
        json!({ "mediaType": media_type, "digest": layout::digest(index.as_bytes()), "size": index.len() });
    let top = json!({ "schemaVersion": 2, "manifests": [top] });
    std::fs::write(path.join("index.json"), top.to_string()).unwrap();
    layout
}

#[test]
fn the_platform_is_chosen_from_an_index() {
    let lab = Lab::new();
    let registry = Registry::plain(&lab);
    registry.push(&index(&lab.path("both")).path, "both:1", &["--all"]);
    let name = format!("{}/both:1", registry.host());
    let native = pulls(&lab, &[&name], &[]);
    let version = |lab: &Lab| std::fs::read_to_string(lab.rootfs(&name).join("etc/version")).unwrap();
    assert_eq!(version(&lab), sampan::image::manifest::Platform::host().architecture);
    assert_ne!(pulls(&lab, &[&name, "--platform", "linux/arm64"], &[]), native);
    assert_eq!(version(&lab), "arm64");
    let error = fails(&lab, &[&name, "--platform", "linux/s390x"], &[]);
    assert!(error.contains("no image for linux/s390x, only for linux/amd64, linux/arm64"), "{error}");
    lab.assert_sound();
}

#[test]
fn a_registry_with_its_own_authority_is_trusted_when_told_so() {
    let lab = Lab::new();
    let files = certificates(&lab);
    let files = files.display();
    let registry = Registry::start(
        &lab,
        &format!("  tls:\n    certificate: {files}/server.pem\n    key: {files}/server.key\n"),
    );
    let layout = Layout::write(&lab.path("web"), &[gzip(&upper("1"))]).path;
    registry.push(&layout, "web:1", &[]);
    let name = format!("{}/web:1", registry.host());
    let error = fails(&lab, &[&name], &[]);
    assert!(error.contains("invalid peer certificate: UnknownIssuer"), "{error}");
    let host = registry.host();
    settings(&lab, "registries.d/own.toml", &format!("[registry.\"{host}\"]\nplain_http = true\n"));
    let error = fails(&lab, &[&name], &[]);
    assert!(error.contains("answered 400"), "plain HTTP where it is said, and nothing else: {error}");
    settings(&lab, "registries.d/own.toml", &format!("[registry.\"{host}\"]\nca = \"{files}/ca.pem\"\n"));
    assert_eq!(pulls(&lab, &[&name], &[]), lab.import(&layout, "imported"));
}

#[test]
fn a_client_shows_its_certificate_where_it_is_asked_for() {
    let lab = Lab::new();
    let files = certificates(&lab);
    let files = files.display();
    let registry = Registry::start(
        &lab,
        &format!(
            "  tls:\n    certificate: {files}/server.pem\n    key: {files}/server.key\n    \
             clientcas: [\"{files}/ca.pem\"]\n"
        ),
    );
    let name = format!("{}/web:1", registry.host());
    let table = format!("[registry.\"{}\"]\nca = \"{files}/ca.pem\"\n", registry.host());
    settings(&lab, "registries.toml", &table);
    let error = fails(&lab, &[&name], &[]);
    assert!(error.contains("fatal alert: BadCertificate"), "{error}");
    let client = |key: &str| {
        let text = format!("client_certificate = \"{files}/client.pem\"\nclient_key = \"{files}/{key}\"\n");
        settings(&lab, "registries.toml", &format!("{table}{text}"));
        fails(&lab, &[&name], &[])
    };
    let error = client("client.key");
    assert!(error.contains("has no image web:1"), "the certificate opens the door: {error}");
    assert!(client("server.key").contains("server.key"), "a key that does not fit is told, not tried");
    assert!(client("ca.pem").contains("no private key"));
}

/// A registry that wants `me` and `secret`, the image `team/web:1` in it.
fn guarded(lab: &Lab) -> Registry {
    let file = lab.path("htpasswd");
    let output = Command::new("htpasswd").args(["-Bbn", "me", "secret"]).output().unwrap();
    std::fs::write(&file, output.stdout).unwrap();
    let more = format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", file.display());
    let registry = Registry::start(lab, &more);
    let layout = Layout::write(&lab.path("web"), &[gzip(&lower()), gzip(&upper("1"))]).path;
    registry.push(&layout, "team/web:1", &["--dest-creds", "me:secret"]);
    registry
}

// "me:secret" and "me:wrong".
const RIGHT: &str = "bWU6c2VjcmV0";
const WRONG: &str = "bWU6d3Jvbmc=";

fn auths(host: &str, auth: &str) -> String {
    json!({ "auths": { host: { "auth": auth } } }).to_string()
}

#[test]
fn credentials_come_from_the_files_of_other_tools() {
    let lab = Lab::new();
    let registry = guarded(&lab);
    let host = registry.host();
    let name = format!("{host}/team/web:1");
    let error = fails(&lab, &[&name], &[]);
    assert!(error.contains("wants credentials") && error.contains("sampan-registries(5)"), "{error}");

    let file = lab.path("auth.json");
    let with_file = [("REGISTRY_AUTH_FILE", file.to_str().unwrap())];
    std::fs::write(&file, auths(&host, WRONG)).unwrap();
    let error = fails(&lab, &[&name], &with_file);
    assert!(error.contains("do not suffice"), "{error}");
    std::fs::write(&file, auths(&format!("{host}/team"), RIGHT)).unwrap();
    pulls(&lab, &[&name], &with_file);

    settings(&lab, "auth.json", &auths("127.0.0.1", RIGHT));
    fails(&lab, &[&name], &[]);
    settings(&lab, "auth.json", &auths(&host, RIGHT));
    pulls(&lab, &[&name], &[]);
    std::fs::remove_file(lab.path("root/etc/sampan/auth.json")).unwrap();

    std::fs::create_dir_all(lab.path("home/.docker")).unwrap();
    std::fs::write(lab.path("home/.docker/config.json"), auths(&format!("http://{host}/v1/"), RIGHT))
        .unwrap();
    pulls(&lab, &[&name], &[]);
}

/// A token as docker-registry wants it, signed by openssl(1): RFC 7519 and distribution's "JWT" page.
fn token(files: &Path, actions: &[&str]) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let certificate = std::fs::read_to_string(files.join("ca.pem")).unwrap();
    let certificate: String = certificate.lines().filter(|line| !line.starts_with('-')).collect();
    assert!(STANDARD.decode(&certificate).is_ok());
    let access = json!([{ "type": "repository", "name": "team/web", "actions": actions }]);
    let claims = json!({ "iss": "test", "sub": "me", "aud": "registry", "exp": 4_000_000_000_u64, "nbf": 0,
        "iat": 0, "jti": "1", "access": access });
    let header = json!({ "typ": "JWT", "alg": "RS256", "x5c": [certificate] });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let script = format!("printf %s {signed} | openssl dgst -sha256 -sign ca.key");
    let signature = Command::new("sh").args(["-c", &script]).current_dir(files).output().unwrap().stdout;
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn a_real_registry_takes_the_token_of_its_service() {
    let lab = Lab::new();
    let files = certificates(&lab);
    let reading = token(&files, &["pull"]);
    let service = Front::start(0, move |_| Reply::json(&json!({ "token": reading }).to_string()));
    let registry = Registry::start(
        &lab,
        &format!(
            "auth:\n  token:\n    realm: http://{}/token\n    service: registry\n    issuer: test\n    \
             rootcertbundle: {}/ca.pem\n",
            service.host(),
            files.display()
        ),
    );
    let layout = Layout::write(&lab.path("web"), &[gzip(&lower()), gzip(&upper("1"))]).path;
    registry.push(&layout, "team/web:1", &["--dest-registry-token", &token(&files, &["pull", "push"])]);
    settings(&lab, "auth.json", &auths(&registry.host(), RIGHT));
    let id = pulls(&lab, &[&format!("{}/team/web:1", registry.host())], &[]);
    assert_eq!(id, lab.import(&layout, "imported"));
    let requests = service.requests();
    assert_eq!(requests.len(), 1, "one token does for all requests");
    assert_eq!(requests[0].header("authorization"), Some(format!("Basic {RIGHT}").as_str()));
    let error = fails(&lab, &[&format!("{}/other/web:1", registry.host())], &[]);
    assert!(error.contains("do not suffice"), "{error}");
}

#[test]
fn a_credential_helper_is_asked() {
    let lab = Lab::new();
    let registry = guarded(&lab);
    let host = registry.host();
    let name = format!("{host}/team/web:1");
    let programs = lab.path("programs");
    std::fs::create_dir(&programs).unwrap();
    let helper = programs.join("docker-credential-test");
    let script = format!(
        "#!/bin/sh\nread server\n[ \"$1 $server\" = \"get {host}\" ] || {{ echo credentials not found; exit 1; }}\n\
         echo '{{\"ServerURL\":\"'$server'\",\"Username\":\"me\",\"Secret\":\"secret\"}}'\n"
    );
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let environment = [("PATH", path.as_str())];
    settings(&lab, "auth.json", &json!({ "credsStore": "test" }).to_string());
    pulls(&lab, &[&name], &environment);
    settings(&lab, "auth.json", &json!({ "credHelpers": { host.as_str(): "test" } }).to_string());
    pulls(&lab, &[&name], &environment);
    settings(&lab, "auth.json", &json!({ "credHelpers": { host.as_str(): "none" } }).to_string());
    let error = fails(&lab, &[&name], &environment);
    assert!(error.contains("cannot run docker-credential-none"), "{error}");
    settings(&lab, "auth.json", &json!({ "credHelpers": { "other.example": "test" } }).to_string());
    assert!(fails(&lab, &[&name], &environment).contains("wants credentials"));
}

#[test]
fn a_helper_that_hangs_does_not_hang_the_pull() {
    let lab = Lab::new();
    let programs = lab.path("programs");
    std::fs::create_dir(&programs).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    settings(&lab, "registries.toml", "[transfer]\nhelper_timeout = \"1s\"\n");
    settings(&lab, "auth.json", &json!({ "credsStore": "slow" }).to_string());
    // One that says nothing, one whose child holds its output, and one that answers and stays.
    for script in ["exec sleep 1000", "sleep 20 & exit 0", "echo '{}'; exec sleep 1000 >&-"] {
        let helper = programs.join("docker-credential-slow");
        std::fs::write(&helper, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let error = fails(&lab, &["127.0.0.1:9/web:1"], &[("PATH", &path)]);
        assert!(error.contains("docker-credential-slow has not answered within 1 s;"), "{error}");
        assert!(error.contains("auth.json") && error.contains("helper_timeout"), "{error}");
    }
}

#[test]
fn a_registry_may_have_an_address_of_ipv6() {
    let lab = Lab::new();
    let (registry, layout) = filled(&lab);
    let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
    let (address, port) = (listener.local_addr().unwrap(), registry.port);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || tunnel(stream, port));
        }
    });
    let name = format!("{address}/team/web:1");
    assert_eq!(pulls(&lab, &[&name], &[]), lab.import(&layout, "imported"));
    settings(&lab, "registries.toml", &format!("[registry.\"{address}\"]\nplain_http = false\n"));
    let error = fails(&lab, &[&name], &[]);
    assert!(error.contains(&format!("https://{address} does not speak TLS")), "{error}");
}

#[test]
fn mirrors_go_first_and_the_registry_steps_in() {
    let lab = Lab::new();
    let (registry, _) = filled(&lab);
    let mirror = Registry::plain(&lab);
    let layout = Layout::write(&lab.path("mirrored"), &[gzip(&upper("from the mirror"))]).path;
    mirror.push(&layout, "cache/team/web:2", &[]);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let host = registry.host();
    let text = format!("[registry.\"{host}\"]\nmirrors = [\"{nobody}\", \"{}/cache\"]\n", mirror.host());
    settings(&lab, "registries.d/mirrors.toml", &text);
    let name = |tag: u8| format!("{host}/team/web:{tag}");
    pulls(&lab, &[&name(2)], &[]);
    let version = std::fs::read_to_string(lab.rootfs(&name(2)).join("etc/version")).unwrap();
    assert_eq!(version, "from the mirror");
    pulls(&lab, &[&name(1)], &[]);
    let error = fails(&lab, &[&name(3)], &[]);
    assert!(error.contains("has no image team/web:3") && error.contains("cache/team/web:3"), "{error}");
}

#[test]
fn short_names_mean_what_the_administrator_says() {
    let lab = Lab::new();
    let (registry, _) = filled(&lab);
    let host = registry.host();
    settings(&lab, "registries.toml", &format!("short_names = [\"{host}/team\"]\n"));
    let output = pull(&lab, &["web:1"], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with(&format!(" {host}/team/web:1\n")), "{text}");
    settings(
        &lab,
        "registries.d/more.toml",
        "short_names = [\"docker.io\", \"quay.io\"]\n[alias]\nours = \"a.example/b\"\n",
    );
    let error = fails(&lab, &["web:1"], &[]);
    let expected = "\"web:1\" may mean docker.io/library/web:1 or quay.io/web:1: write the one that you mean";
    assert!(error.contains(expected), "{error}");
    let both = format!("short_names = [\"docker.io\", \"{host}/team\"]\n");
    settings(&lab, "registries.d/more.toml", &both);
    let (root, store) = (lab.path("root"), lab.store());
    let command = format!(
        "{} --root {} pull web:1 --store {}",
        env!("CARGO_BIN_EXE_sampanctl"),
        root.display(),
        store.display()
    );
    let asked = format!("echo 2 | script -qefc '{command}' /dev/null");
    let asked = Command::new("sh").args(["-c", &asked]).output().unwrap();
    let seen = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(asked.status.success() && seen.contains(&format!("2) {host}/team/web:1")), "{seen}");
    settings(&lab, "registries.d/more.toml", &format!("[alias]\nours = \"{host}/team/web:1\"\n"));
    pulls(&lab, &["ours"], &[]);
}

#[test]
fn wrong_settings_are_shown_with_their_place() {
    let lab = Lab::new();
    settings(&lab, "registries.d/a.toml", "[registry.\"a.example\"]\nmirror = []\n");
    let output = pull(&lab, &["a.example/b"], &[]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("unknown key \"mirror\"") && error.contains("registries.d/a.toml:2:1"), "{error}");
    assert!(error.contains("did you mean \"mirrors\"?"), "{error}");
}

#[test]
fn progress_is_told_in_lines_or_not_at_all() {
    let lab = Lab::new();
    let (registry, _) = filled(&lab);
    let name = format!("{}/team/web:1", registry.host());
    let quiet = pull(&lab, &[&name, "--quiet"], &[]);
    assert_eq!(String::from_utf8(quiet.stderr).unwrap(), "");
    let other = Lab::new();
    let told = String::from_utf8(pull(&other, &[&name], &[]).stderr).unwrap();
    let words: Vec<Vec<&str>> = told.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!((words.len(), words[0][0]), (5, "Pulling"), "{told}");
    // Layers come at the same time; of each, the beginning is told before the end.
    let mut told_of: Vec<(&str, &str)> = words[1..].iter().map(|words| (words[1], words[0])).collect();
    told_of.sort_by_key(|(blob, _)| *blob);
    for layer in told_of.chunks(2) {
        assert_eq!(layer, [(layer[0].0, "Fetching"), (layer[0].0, "Fetched")], "{told}");
    }
    assert_ne!(told_of[0].0, told_of[2].0, "{told}");
    let third = Lab::new();
    let command =
        format!("{} pull {name} --store {}", env!("CARGO_BIN_EXE_sampanctl"), third.store().display());
    let terminal = Command::new("script").args(["-qefc", &command, "/dev/null"]).output().unwrap();
    let seen = String::from_utf8_lossy(&terminal.stdout).into_owned();
    assert!(terminal.status.success(), "{seen}");
    assert!(seen.contains("[=") && seen.contains(&format!(" {name}")), "{seen}");
}

#[test]
fn a_missing_image_is_told_by_name() {
    let lab = Lab::new();
    let (registry, _) = filled(&lab);
    let error = fails(&lab, &[&format!("{}/team/web:9", registry.host())], &[]);
    assert!(error.contains(&format!("http://{} has no image team/web:9", registry.host())), "{error}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    settings(&lab, "registries.toml", "[transfer]\nattempts = 1\n");
    let error = fails(&lab, &[&format!("{nobody}/web:1")], &[]);
    assert!(error.contains("cannot talk to") && error.contains("Connection refused"), "{error}");
}

#[test]
fn the_manual_has_every_key() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual = std::fs::read_to_string(project.join("man/sampan-registries.5")).unwrap();
    let lab = Lab::new();
    // The error of an unknown key names those that there are.
    for table in ["", "[transfer]\n", "[registry.\"a.example\"]\n"] {
        settings(&lab, "registries.toml", &format!("{table}zzzzzzzzzz = 1\n"));
        let output = pull(&lab, &["a.example/b"], &[]);
        let error = String::from_utf8(output.stderr).unwrap();
        let keys = error.split("known here: ").nth(1).expect(&error).lines().next().unwrap();
        for key in keys.split(", ") {
            let known = manual.lines().any(|line| {
                let item = line
                    .strip_prefix(".It Cm ")
                    .is_some_and(|words| words.split(" , ").any(|word| word == key));
                item || line.strip_prefix(".Ss [").is_some_and(|table| table.starts_with(key))
            });
            assert!(known, "man/sampan-registries.5 has no {key}");
        }
    }
}
