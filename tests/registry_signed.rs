//! Signatures that a registry serves beside an image, as cosign puts them there, and a policy that wants them.

mod fault_rig {
    pub mod snapshot;
}
#[path = "support/layout.rs"]
mod layout;
#[path = "support/registry.rs"]
mod registry;

use base64::Engine as _;
use fault_rig::snapshot::{difference, snapshot};
use layout::{Lab, Layout, Tar, digest, gzip};
use registry::{Registry, fails, pulls, settings};
use serde_json::json;
use std::process::Command;

/// A host that wants signatures of its registry's images, and the image `team/web:1` there.
struct Host {
    lab: Lab,
    registry: Registry,
    /// The digest of the image's manifest.
    image: String,
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

impl Host {
    fn new() -> Self {
        let lab = Lab::new();
        let registry = Registry::plain(&lab);
        let layout = Layout::write(&lab.path("web"), &[gzip(&Tar::default().file("a", "signed").end())]);
        registry.push(&layout.path, "team/web:1", &[]);
        let index = std::fs::read_to_string(layout.path.join("index.json")).unwrap();
        let index: serde_json::Value = serde_json::from_str(&index).unwrap();
        let image = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
        let before = Layout::write(&lab.path("before"), &[gzip(&Tar::default().file("b", "x").end())]);
        lab.import(&before.path, "before");
        let host = Self { lab, registry, image };
        let policy = "[registry.\"HOST\"]\naction = \"signed\"\nkeys = [\"/etc/sampan/right.pub\"]\n";
        settings(&host.lab, "policy.toml", &policy.replace("HOST", &host.registry.host()));
        host.key("right");
        host
    }

    fn name(&self) -> String {
        format!("{}/team/web:1", self.registry.host())
    }

    /// Makes a key; its public half lies where the policy looks.
    fn key(&self, name: &str) -> String {
        let path = self.lab.path("root/etc/sampan").join(name).to_str().unwrap().to_owned();
        openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &path]);
        openssl(&["ec", "-in", &path, "-pubout", "-out", &format!("{path}.pub")]);
        path
    }

    /// Puts a signature of `signed` where one of the image is looked for.
    fn sign(&self, key: &str, signed: &str) {
        let payload = json!({ "critical": { "type": "cosign container image signature",
            "identity": { "docker-reference": format!("{}/team/web", self.registry.host()) },
            "image": { "docker-manifest-digest": signed } }, "optional": null })
        .to_string();
        let file = self.lab.path("payload");
        std::fs::write(&file, &payload).unwrap();
        let signature = openssl(&["dgst", "-sha256", "-sign", key, file.to_str().unwrap()]);
        let signature = base64::engine::general_purpose::STANDARD.encode(signature);
        let described = |media_type: &str, bytes: &[u8]| {
            self.upload(bytes);
            json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
        };
        let mut layer = described("application/vnd.dev.cosign.simplesigning.v1+json", payload.as_bytes());
        layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": signature });
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let config = described("application/vnd.oci.image.config.v1+json", b"{}");
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer] });
        let tag = format!("{}.sig", self.image.replace(':', "-"));
        let address = format!("http://{}/v2/team/web/manifests/{tag}", self.registry.host());
        let answer =
            ureq::put(&address).header("content-type", media_type).send(manifest.to_string()).unwrap();
        assert_eq!(answer.status(), 201);
    }

    fn upload(&self, bytes: &[u8]) {
        let address = format!("http://{}/v2/team/web/blobs/uploads/", self.registry.host());
        let answer = ureq::post(&address).send_empty().unwrap();
        let location = answer.headers()["location"].to_str().unwrap();
        let joint = if location.contains('?') { '&' } else { '?' };
        let address = format!("{location}{joint}digest={}", digest(bytes));
        let answer =
            ureq::put(&address).header("content-type", "application/octet-stream").send(bytes).unwrap();
        assert_eq!(answer.status(), 201);
    }

    /// A pull that must be refused, and must leave the store as it is.
    fn refused(&self) -> String {
        let before = snapshot(&self.lab.store());
        let error = fails(&self.lab, &[&self.name()], &[]);
        let after = snapshot(&self.lab.store());
        assert!(before == after, "{}", difference(&before, &after));
        error
    }
}

#[test]
fn an_image_with_a_signature_by_the_policy_s_key_is_pulled() {
    let host = Host::new();
    let error = host.refused();
    assert!(error.contains("wants a signature") && error.contains("there is none"), "{error}");
    host.sign(&host.lab.path("root/etc/sampan/right").display().to_string(), &host.image);
    pulls(&host.lab, &[&host.name()], &[]);
    let pinned = format!("{}/team/web@{}", host.registry.host(), host.image);
    pulls(&host.lab, &[&pinned], &[]);
    assert_eq!(host.lab.json(&["images"]).as_array().unwrap().len(), 2, "signatures are no images");
    host.lab.assert_sound();
}

#[test]
fn signatures_by_another_key_or_for_another_image_are_none() {
    let host = Host::new();
    host.sign(&host.key("wrong"), &host.image);
    let error = host.refused();
    assert!(error.contains("none is by a key of the policy"), "{error}");
    host.sign(&host.lab.path("root/etc/sampan/right").display().to_string(), &digest(b"another"));
    let error = host.refused();
    assert!(error.contains("it is for another image"), "{error}");
}

#[test]
fn a_tag_that_moves_to_an_unsigned_image_is_refused() {
    let host = Host::new();
    host.sign(&host.lab.path("root/etc/sampan/right").display().to_string(), &host.image);
    let id = pulls(&host.lab, &[&host.name()], &[]);
    let layout = Layout::write(&host.lab.path("other"), &[gzip(&Tar::default().file("a", "not").end())]);
    host.registry.push(&layout.path, "team/web:1", &[]);
    host.refused();
    assert_eq!(host.lab.json(&["inspect", &host.name()])["id"], id, "the name stays with the signed image");
}

#[test]
fn a_signature_of_the_platform_s_manifest_behind_an_index_counts() {
    let host = Host::new();
    let address =
        |reference: &str| format!("http://{}/v2/team/web/manifests/{reference}", host.registry.host());
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let mut answer = ureq::get(address("1")).header("accept", kind).call().unwrap();
    let manifest = answer.body_mut().read_to_vec().unwrap();
    let index_kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": index_kind, "manifests": [{ "mediaType": kind,
        "digest": host.image, "size": manifest.len(), "platform": { "os": "linux", "architecture": "amd64" } }] });
    ureq::put(address("many")).header("content-type", index_kind).send(index.to_string()).unwrap();
    let name = format!("{}/team/web:many", host.registry.host());
    let error = fails(&host.lab, &[&name], &[]);
    assert!(error.contains("wants a signature") && error.contains("there is none"), "{error}");
    host.sign(&host.lab.path("root/etc/sampan/right").display().to_string(), &host.image);
    pulls(&host.lab, &[&name], &[]);
    host.lab.assert_sound();
}
