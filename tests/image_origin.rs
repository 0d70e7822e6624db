//! The policy of a host: which names images may have, and signatures by keys of openssl's over documents like cosign's.

mod fault_rig {
    pub mod snapshot;
}
#[path = "support/layout.rs"]
mod layout;

use base64::Engine as _;
use fault_rig::snapshot::snapshot;
use layout::{Lab, Layout, Tar, digest, gzip, plain};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const NAME: &str = "registry.example.com/web:1";

/// A host with a policy, and a layout to import.
struct Host {
    lab: Lab,
    layout: Layout,
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

impl Host {
    fn new(policy: &str) -> Self {
        let lab = Lab::new();
        let layout = Layout::write(&lab.path("layout"), &[gzip(&Tar::default().file("a", "signed").end())]);
        let host = Self { lab, layout };
        std::fs::create_dir_all(host.root().join("etc/sampan")).unwrap();
        std::fs::write(host.root().join("etc/sampan/policy.toml"), policy).unwrap();
        let before = Layout::write(&host.lab.path("before"), &[plain(Tar::default().file("b", "x").end())]);
        host.lab.import(&before.path, "before");
        host
    }

    fn root(&self) -> PathBuf {
        self.lab.path("root")
    }

    /// Makes a key of a name; its public half is what the policy may name.
    fn key(&self, name: &str) -> PathBuf {
        let path = self.root().join("etc/sampan").join(name);
        let text = path.to_str().unwrap();
        openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", text]);
        openssl(&["ec", "-in", text, "-pubout", "-out", &format!("{text}.pub")]);
        path
    }

    fn index(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.layout.path.join("index.json")).unwrap()).unwrap()
    }

    /// Adds a signature for the image to the layout, as "cosign save" lays it out.
    fn sign(&self, key: &Path, reference: &str, signed: &str) {
        let payload = json!({ "critical": { "type": "cosign container image signature",
            "identity": { "docker-reference": reference },
            "image": { "docker-manifest-digest": signed } }, "optional": null });
        let payload = payload.to_string();
        let file = self.lab.path("payload");
        std::fs::write(&file, &payload).unwrap();
        let arguments = ["dgst", "-sha256", "-sign", key.to_str().unwrap(), file.to_str().unwrap()];
        let signature = base64::engine::general_purpose::STANDARD.encode(openssl(&arguments));
        let mut index = self.index();
        let image = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
        self.layout.blob(payload.as_bytes());
        self.layout.blob(b"{}");
        let manifest = json!({ "schemaVersion": 2,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(b"{}"), "size": 2 },
            "layers": [{ "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
                "digest": digest(payload.as_bytes()), "size": payload.len(),
                "annotations": { "dev.cosignproject.cosign/signature": signature } }] })
        .to_string();
        self.layout.blob(manifest.as_bytes());
        let tag = format!("{}.sig", image.replace(':', "-"));
        index["manifests"].as_array_mut().unwrap().push(json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest(manifest.as_bytes()), "size": manifest.len(),
            "annotations": { "org.opencontainers.image.ref.name": tag } }));
        std::fs::write(self.layout.path.join("index.json"), index.to_string()).unwrap();
    }

    fn image(&self) -> String {
        self.index()["manifests"][0]["digest"].as_str().unwrap().to_owned()
    }

    fn import(&self, name: &str) -> Result<(), String> {
        let (root, source) = (self.root(), &self.layout.path);
        let words = ["--root", root.to_str().unwrap(), "import", source.to_str().unwrap(), "--name", name];
        let before = snapshot(&self.lab.store());
        let output = self.lab.sampanctl(&words);
        match output.status.success() {
            true => Ok(()),
            false => {
                assert!(snapshot(&self.lab.store()) == before, "a refused image leaves nothing");
                Err(String::from_utf8(output.stderr).unwrap())
            }
        }
    }
}

const SIGNED: &str =
    "[registry.\"registry.example.com\"]\naction = \"signed\"\nkeys = [\"/etc/sampan/key.pub\"]\n";

#[test]
fn names_are_accepted_or_rejected_by_prefix() {
    let host = Host::new(
        "[default]\naction = \"reject\"\n[registry.\"localhost\"]\naction = \"accept\"\n[registry.\"docker.io/library\"]\naction = \"accept\"\n",
    );
    host.import("mine").unwrap();
    host.import("docker.io/library/nginx:1").unwrap();
    for name in ["docker.io/evil/nginx:1", NAME, "docker.io.example.com/library/nginx:1"] {
        let error = host.import(name).unwrap_err();
        assert!(error.contains("the policy rejects all names"), "{error}");
    }
    host.lab.assert_sound();
}

#[test]
fn a_signature_by_a_key_of_the_policy_is_enough() {
    let host = Host::new(SIGNED);
    let key = host.key("key");
    let error = host.import(NAME).unwrap_err();
    assert!(error.contains("wants a signature for registry.example.com: there is none"), "{error}");
    host.sign(&key, "registry.example.com/web", &host.image());
    host.import(NAME).unwrap();
    assert_eq!(host.lab.json(&["images"]).as_array().unwrap().len(), 2, "signatures are no images");
    // Of other names no signature is asked.
    host.import("localhost/web").unwrap();
    host.lab.assert_sound();
}

#[test]
fn a_signature_of_another_key_image_or_name_is_none() {
    type Sign = fn(&Host, &Path);
    let attempts: [(&str, Sign); 3] = [
        ("none is by a key of the policy", |host, _| {
            let stranger = host.key("stranger");
            host.sign(&stranger, "registry.example.com/web", &host.image());
        }),
        ("it is for another image", |host, key| {
            host.sign(key, "registry.example.com/web", &digest(b"another"));
        }),
        ("it is for another name", |host, key| {
            host.sign(key, "registry.example.com/db", &host.image());
        }),
    ];
    for (reason, sign) in attempts {
        let host = Host::new(SIGNED);
        let key = host.key("key");
        sign(&host, &key);
        let error = host.import(NAME).unwrap_err();
        assert!(error.contains(reason), "{error} is not about {reason}");
    }
}

#[test]
fn an_archive_without_digests_proves_nothing() {
    let host = Host::new(SIGNED);
    host.key("key");
    let archive = host.lab.path("saved.tar");
    let (from, to) =
        (format!("oci:{}", host.layout.path.display()), format!("docker-archive:{}", archive.display()));
    assert!(Command::new("skopeo").args(["copy", "-q", &from, &to]).status().unwrap().success());
    let root = host.root();
    let words = ["--root", root.to_str().unwrap(), "import", archive.to_str().unwrap(), "--name", NAME];
    assert!(host.lab.fails(&words).contains("there is none with the image"));
}

#[test]
fn a_policy_that_is_wrong_lets_nothing_in() {
    let host = Host::new(SIGNED);
    let error = host.import("localhost/web").unwrap_err();
    assert!(error.contains("policy.toml:3:1") && error.contains("cannot be read"), "{error}");
    std::fs::write(host.root().join("etc/sampan/policy.toml"), "[default]\nacton = \"accept\"\n").unwrap();
    let error = host.import("localhost/web").unwrap_err();
    assert!(error.contains("did you mean \"action\"?"), "{error}");
}

#[test]
fn a_tag_gives_no_name_that_the_policy_would_not_have_given() {
    let host = Host::new(&format!("{SIGNED}[registry.\"evil.example.com\"]\naction = \"reject\"\n"));
    let key = host.key("key");
    host.import("x").unwrap();
    let root = host.root();
    let tag = |names: &[&str]| {
        let words = [&["--root", root.to_str().unwrap(), "tag"], names].concat();
        let output = host.lab.sampanctl(&words);
        output.status.success().then_some(()).ok_or_else(|| String::from_utf8(output.stderr).unwrap())
    };
    let error = tag(&["x", "fine", NAME]).unwrap_err();
    assert!(error.contains("wants a signature") && error.contains("pull or import the image"), "{error}");
    assert!(host.lab.fails(&["inspect", "fine"]).contains("no image"), "all names or none");
    let error = tag(&["x", "evil.example.com/web:1"]).unwrap_err();
    assert!(error.contains("the policy rejects evil.example.com"), "{error}");
    tag(&["x", "fine"]).unwrap();
    let pinned = format!("registry.example.com/web@{}", host.image());
    assert!(host.lab.fails(&["inspect", &pinned]).contains("no image"), "nor does its digest");
    host.sign(&key, "registry.example.com/web", &host.image());
    host.import(NAME).unwrap();
    tag(&["x", NAME]).unwrap();
    host.lab.succeeds(&["inspect", &pinned]);
    // Its name moves to another image: what came under it is still what it was.
    std::fs::write(root.join("etc/sampan/policy.toml"), "").unwrap();
    tag(&["before", NAME]).unwrap();
    host.lab.succeeds(&["inspect", &pinned]);
    host.lab.assert_sound();
}
